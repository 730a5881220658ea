import type { Db } from '#platform/db/index.ts';
import { lintCatalog } from '#platform/db/setup.ts';
import { readBehind, readUnsound } from '../store/soundness.ts';
import type { Manifest } from './manifest.ts';
import {
  compareCatalog,
  compareContent,
  compareMoney,
  compareRows,
  compareVersion,
  type Finding,
} from './proof-compare.ts';
import { readFigures } from './proof-figures.ts';
import { checkTenants } from './proof-tenants.ts';
import type { RestoreFailureCode } from './restore-failures.ts';

/** One thing that was looked at: what was seen when it is as it must be, else what is wrong. */
export interface Check {
  name: string;
  ok: boolean;
  detail: string;
  /** Of the list in restore-failures.ts, when it is not ok. */
  code?: RestoreFailureCode;
}

/** Findings shown of one check: a table that lost its policies would otherwise fill the screen. */
const SHOWN = 5;

/** Rules whose breach lets tenants see each other. */
const RLS_RULES = new Set(['tenant_table_without_forced_rls', 'tenant_table_without_policy', 'policy_not_by_tenant']);

/** Turns findings into the checks of one name: one per code, or one that is ok. */
export function toChecks(name: string, findings: readonly Finding[], fine: string): Check[] {
  if (findings.length === 0) return [{ name, ok: true, detail: fine }];
  return [...Map.groupBy(findings, (finding) => finding.code)].map(([code, same]) => {
    const details = same.slice(0, SHOWN).map((finding) => finding.detail);
    if (same.length > SHOWN) details.push(`and ${same.length - SHOWN} more.`);
    return { name, ok: false, detail: details.join(' '), code };
  });
}

/**
 * Looks at a restored database: all checks, in the order in which their failures matter, even if one fails.
 * @param newest the newest migration that this build knows
 */
export async function proveRestored(db: Db, manifest: Manifest, newest: number): Promise<Check[]> {
  const figures = await db.withTx((tx) => readFigures(tx), { isolation: 'repeatable read', readOnly: true });
  const rows = figures.tables.reduce((sum, table) => sum + table.rows, 0);
  const lint = await lintCatalog(db);
  const rules = lint.map(
    ({ rule, object, detail }): Finding => ({
      code: RLS_RULES.has(rule) ? 'proof_rls' : 'proof_rules',
      detail: `${object} ${detail}.`,
    }),
  );
  // Breaches of isolation come first: they are about production too.
  rules.sort((a, b) => Number(b.code === 'proof_rls') - Number(a.code === 'proof_rls'));
  const sound = await db.withTx(readUnsound, { readOnly: true });
  const counters = await db.withTx(readBehind, { readOnly: true });
  const tenants = await checkTenants(db);
  return [
    ...toChecks('schema', compareVersion(manifest, figures, newest), `version ${figures.schema_version}`),
    ...toChecks('isolation', rules, 'row level security and the rules of the catalog hold'),
    ...toChecks('rows', compareRows(manifest, figures), `${rows} rows in ${figures.tables.length} tables`),
    ...toChecks('money', compareMoney(manifest, figures), `${figures.sums.length} sums`),
    ...toChecks('content', compareContent(manifest, figures), 'every table has the digest of its backup'),
    ...toChecks('catalog', compareCatalog(manifest, figures), 'tables, policies, grants and functions are the same'),
    ...toChecks(
      'constraints',
      sound.unsound.map(({ object, what }) => ({ code: 'proof_constraints', detail: `${object} ${what}.` })),
      `${sound.constraints} hold`,
    ),
    ...toChecks(
      'sequences',
      counters.behind.map((name) => ({ code: 'proof_sequences', detail: `${name} is behind its column.` })),
      `${counters.sequences} are ahead of their columns`,
    ),
    ...toChecks(
      'tenants',
      tenants.findings,
      `${tenants.tenants} tenants see their own rows in ${tenants.tables} tables`,
    ),
    { name: 'files', ok: true, detail: 'none yet: this release keeps no uploaded files' },
  ];
}
