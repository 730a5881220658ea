import assert from 'node:assert/strict';
import { toChecks } from '../../../services/domain/operations/backups/proof.ts';
import {
  compareCatalog,
  compareContent,
  compareMoney,
  compareRows,
  compareVersion,
} from '../../../services/domain/operations/backups/proof-compare.ts';
import { sampleTenants } from '../../../services/domain/operations/backups/proof-tenants.ts';

const table = (name: string, rows: number, digest = '1') => ({ schema: 'app', name, rows, digest });
const figures = {
  schema_version: 100,
  catalog_sha256: 'a',
  tables: [table('orders', 3), table('tenants', 2)],
  sums: [{ name: 'payments.captured', currency: 'SEK', value: '900719925474099300' }],
  system_identifier: '1',
};

describe('a restored copy beside its manifest', () => {
  it('is the same when nothing differs', () => {
    const findings = [
      compareVersion(figures, figures, 100),
      compareRows(figures, figures),
      compareMoney(figures, figures),
    ];
    assert.deepEqual([...findings, compareContent(figures, figures), compareCatalog(figures, figures)].flat(), []);
  });

  it('is older than the build, and judged as it is', () => {
    assert.deepEqual(compareVersion(figures, figures, 120), []);
  });

  it('is of another version than it says, or of one that the build does not know', () => {
    assert.equal(compareVersion({ ...figures, schema_version: 90 }, figures, 100)[0]?.code, 'proof_schema_version');
    assert.equal(compareVersion(figures, figures, 90)[0]?.code, 'proof_schema_newer');
  });

  it('has lost rows, a table, or won one', () => {
    const found = { ...figures, tables: [table('orders', 2), table('extra', 1)] };
    assert.deepEqual(
      compareRows(figures, found).map((finding) => finding.detail),
      [
        'app.orders: 3 rows were backed up, 2 were restored.',
        'app.tenants: 2 rows were backed up, the table is missing.',
        'app.extra was not backed up.',
      ],
    );
  });

  it('has other content, which is said of tables with as many rows only', () => {
    const found = { ...figures, tables: [table('orders', 2, '7'), table('tenants', 2, '7')] };
    const findings = compareContent(figures, found);
    assert.equal(findings.length, 1);
    assert.match(findings[0]?.detail ?? '', /^app\.tenants: 2 rows as expected/);
  });

  it('has another sum, or a currency that was not there', () => {
    const [sum] = figures.sums;
    assert.ok(sum);
    const more = {
      ...figures,
      sums: [
        { ...sum, value: '900719925474099301' },
        { ...sum, currency: 'USD', value: '1' },
      ],
    };
    assert.deepEqual(
      compareMoney(figures, more).map((finding) => finding.detail),
      [
        'payments.captured SEK: 900719925474099300 were backed up, 900719925474099301 restored.',
        'payments.captured USD: 0 were backed up, 1 restored.',
      ],
    );
  });

  it('is told with a few examples, one check a code', () => {
    const findings = Array.from({ length: 8 }, (_, n) => ({ code: 'proof_rows' as const, detail: `t${n}.` }));
    const checks = toChecks('rows', [...findings, { code: 'proof_content', detail: 'x.' }], 'fine');
    assert.deepEqual(
      checks.map(({ code, detail }) => [code, detail]),
      [
        ['proof_rows', 't0. t1. t2. t3. t4. and 3 more.'],
        ['proof_content', 'x.'],
      ],
    );
  });
});

describe('the tenants that are looked at', () => {
  it('give rows to every table, then come by size', () => {
    const counts = [
      { name: 'app.rare', tenant_id: 'ten_small', rows: 1 },
      ...Array.from({ length: 30 }, (_, n) => ({ name: 'app.orders', tenant_id: `ten_${n}`, rows: 100 - n })),
    ];
    const sample = sampleTenants(counts, 3);
    assert.deepEqual(sample, ['ten_small', 'ten_0', 'ten_1', 'ten_2']);
  });
});
