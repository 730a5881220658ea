import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Settings } from '#platform/config/index.ts';
import { createDb, type Db } from '#platform/db/index.ts';
import { exportSchema, lintCatalog, type SchemaSnapshot } from '#platform/db/setup.ts';
import { type Command, EXIT } from '../command.ts';
import { databaseUrl } from './database-url.ts';
import { MIGRATIONS_DIR } from './migrate.ts';

/** The committed snapshot: file and where its text comes from. */
export const SNAPSHOT_FILES = [
  { file: 'schema.sql', of: (snapshot: SchemaSnapshot) => snapshot.schema },
  { file: 'security-definer.txt', of: (snapshot: SchemaSnapshot) => snapshot.securityDefiner },
] as const;

const NOTES = 'Reads the catalog only; connects with DATABASE_URL_OPS, DATABASE_URL_MIGRATOR or DATABASE_URL.';

async function withDatabase<T>(settings: Settings, fn: (db: Db) => Promise<T>): Promise<T> {
  const url = databaseUrl(settings, ['DATABASE_URL_OPS', 'DATABASE_URL_MIGRATOR', 'DATABASE_URL']);
  const db = createDb({
    url,
    role: 'klar_ops',
    poolSize: 1,
    prepared: settings.DB_PREPARED === 'on',
    appName: 'klar schema',
  });
  try {
    return await fn(db);
  } finally {
    await db.close();
  }
}

/** `klar schema export`: the text of schema.sql for any database. */
export const schemaExport: Command = {
  notes: NOTES,
  async run({ settings, answer }) {
    const snapshot = await withDatabase(settings(), exportSchema);
    answer(snapshot, snapshot.schema.trimEnd());
    return EXIT.ok;
  },
};

/** `klar schema check`: exit 1 when the database differs from the committed snapshot or breaks a rule. */
export const schemaCheck: Command = {
  notes: NOTES,
  async run({ settings, answer }) {
    const { snapshot, findings } = await withDatabase(settings(), async (db) => ({
      snapshot: await exportSchema(db),
      findings: await lintCatalog(db),
    }));
    const differences: { file: string; line: number; committed: string; database: string }[] = [];
    for (const { file, of } of SNAPSHOT_FILES) {
      const committed = await readFile(path.join(MIGRATIONS_DIR, '..', file), 'utf8');
      const difference = firstDifference(committed, of(snapshot));
      if (difference !== undefined) differences.push({ file, ...difference });
    }
    const ok = differences.length === 0 && findings.length === 0;
    answer({ ok, differences, findings }, [
      ...differences.map((d) => `${d.file}:${d.line}\n  committed: ${d.committed}\n  database:  ${d.database}`),
      ...findings.map((finding) => `${finding.rule}: ${finding.object}: ${finding.detail}`),
      ...(ok ? ['The database is what the migrations make, and keeps every rule.'] : []),
    ]);
    return ok ? EXIT.ok : EXIT.failed;
  },
};

function firstDifference(committed: string, database: string) {
  const left = committed.split('\n');
  const right = database.split('\n');
  const line = left.findIndex((text, index) => text !== right[index]);
  if (line === -1 && left.length === right.length) return undefined;
  const at = line === -1 ? left.length : line;
  return { line: at + 1, committed: left[at] ?? '(end)', database: right[at] ?? '(end)' };
}
