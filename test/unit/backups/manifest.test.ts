import assert from 'node:assert/strict';
import fc from 'fast-check';
import { canonicalJson, type ManifestBody, parseManifest, sealManifest } from '#domain/operations/backups/index.ts';

const ID = '20260501T023009Z-0a1b2c';
const SHA = 'a'.repeat(64);
const BODY: ManifestBody = {
  format: 1,
  id: ID,
  created_at: '2026-05-01T02:30:09.000Z',
  snapshot_at: '2026-05-01T02:30:10.123Z',
  server_version: '15.14',
  pg_dump_version: '15.14',
  schema_version: 100,
  encrypted: null,
  parts: [{ name: 'toc.dat', bytes: 10, sha256: SHA }],
  tables: [{ schema: 'app', name: 'orders', rows: 3, digest: '-12' }],
  sums: [{ name: 'payments.captured', currency: 'USD', value: '9007199254740993' }],
  catalog_sha256: SHA,
  files: null,
};
const text = (change: (body: Record<string, unknown>) => void = () => {}) => {
  const manifest = structuredClone(sealManifest(BODY)) as unknown as Record<string, unknown>;
  change(manifest);
  return JSON.stringify(manifest);
};
const refused = (manifest: string, code: string, says: RegExp, id = ID) =>
  assert.throws(
    () => parseManifest(manifest, id),
    (error: { code: string; detail: string }) => error.code === code && says.test(error.detail),
  );

describe('a manifest', () => {
  it('is taken as it was written, however its keys are ordered and spaced', () => {
    assert.deepEqual(parseManifest(text(), ID), sealManifest(BODY));
    const turned = Object.fromEntries(Object.entries(JSON.parse(text())).reverse());
    assert.deepEqual(parseManifest(JSON.stringify(turned, null, 4), ID), sealManifest(BODY));
  });
  it('is refused cut off', () => refused(text().slice(0, 200), 'backup_manifest_broken', /not JSON/));
  it('is refused empty', () => refused('', 'backup_manifest_broken', /empty/));
  it('is refused when anything in it was changed', () => {
    refused(
      text((body) => Object.assign(body, { schema_version: 99 })),
      'backup_manifest_broken',
      /own digest/,
    );
    refused(
      text((body) => Object.assign(body, { tables: [] })),
      'backup_manifest_broken',
      /own digest/,
    );
  });
  it('is refused of another backup', () =>
    refused(text(), 'backup_manifest_broken', /says that it is of/, '20260502T023009Z-0a1b2c'));
  it('is refused with a part that leads out of the folder', () =>
    refused(
      text((body) => Object.assign(body, { parts: [{ name: '../x', bytes: 1, sha256: SHA }] })),
      'backup_manifest_broken',
      /parts\.0\.name/,
    ));
  it('of a newer format says what to do', () =>
    refused(
      text((body) => Object.assign(body, { format: 2 })),
      'backup_format_unknown',
      /the Klar that made it/,
    ));
});

describe('canonical JSON', () => {
  it('is JSON, and does not depend on the order of keys', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const turned = Object.fromEntries(Object.entries(value).reverse());
        assert.equal(canonicalJson(turned), canonicalJson(value));
        assert.deepEqual(JSON.parse(canonicalJson(value)), JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});
