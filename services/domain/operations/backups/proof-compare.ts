import type { Figures } from './proof-figures.ts';
import type { RestoreFailureCode } from './restore-failures.ts';

/** Something that is not as it must be. */
export interface Finding {
  code: RestoreFailureCode;
  detail: string;
}

/** What the manifest says of the database, as far as it is compared. */
export interface Expected {
  schema_version: number;
  catalog_sha256: string;
  tables: readonly { schema: string; name: string; rows: number; digest?: string | undefined }[];
  sums: readonly { name: string; currency?: string | undefined; value: string }[];
}

/** Which version the copy has, and whether this build may judge it. */
export function compareVersion(expected: Expected, found: Figures, newest: number): Finding[] {
  if (found.schema_version !== expected.schema_version) {
    const detail = `The dump holds schema version ${found.schema_version}, its manifest says ${expected.schema_version}.`;
    return [{ code: 'proof_schema_version', detail }];
  }
  if (found.schema_version > newest) {
    const detail = `The backup has schema version ${found.schema_version}; this build knows up to ${newest}.`;
    return [{ code: 'proof_schema_newer', detail }];
  }
  return [];
}

/** Tables that have more or fewer rows, or are on one side only. */
export function compareRows(expected: Expected, found: Figures): Finding[] {
  const restored = new Map(found.tables.map((table) => [`${table.schema}.${table.name}`, table.rows]));
  const known = new Set(expected.tables.map((table) => `${table.schema}.${table.name}`));
  const findings = expected.tables.flatMap((table): Finding[] => {
    const name = `${table.schema}.${table.name}`;
    const rows = restored.get(name);
    if (rows === table.rows) return [];
    const now = rows === undefined ? 'the table is missing' : `${rows} were restored`;
    return [{ code: 'proof_rows', detail: `${name}: ${table.rows} rows were backed up, ${now}.` }];
  });
  const extra = [...restored.keys()].filter((name) => !known.has(name));
  return [...findings, ...extra.map((name): Finding => ({ code: 'proof_rows', detail: `${name} was not backed up.` }))];
}

/** Tables whose rows are as many but not the same. */
export function compareContent(expected: Expected, found: Figures): Finding[] {
  const restored = new Map(found.tables.map((table) => [`${table.schema}.${table.name}`, table]));
  return expected.tables.flatMap((table): Finding[] => {
    const name = `${table.schema}.${table.name}`;
    const now = restored.get(name);
    if (now === undefined || now.rows !== table.rows || table.digest === undefined || now.digest === table.digest) {
      return [];
    }
    const detail = `${name}: ${table.rows} rows as expected, but what is in them differs from what was backed up.`;
    return [{ code: 'proof_content', detail }];
  });
}

/** Sums of money that differ, by column and currency. */
export function compareMoney(expected: Expected, found: Figures): Finding[] {
  const key = (sum: { name: string; currency?: string | undefined }) => `${sum.name} ${sum.currency ?? ''}`.trimEnd();
  const before = new Map(expected.sums.map((sum) => [key(sum), sum.value]));
  const after = new Map(found.sums.map((sum) => [key(sum), sum.value]));
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((name): Finding[] => {
    const [was, is] = [before.get(name) ?? '0', after.get(name) ?? '0'];
    return was === is ? [] : [{ code: 'proof_money', detail: `${name}: ${was} were backed up, ${is} restored.` }];
  });
}

/** Whether tables, policies, grants and functions are what they were. */
export function compareCatalog(expected: Expected, found: Figures): Finding[] {
  if (found.catalog_sha256 === expected.catalog_sha256) return [];
  const detail = 'Tables, policies, grants or functions differ from those of the database that was backed up.';
  return [{ code: 'proof_catalog', detail }];
}
