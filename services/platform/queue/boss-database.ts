import bossPackage from 'pg-boss/package.json' with { type: 'json' };
import { type Db, sqlExecutor } from '#platform/db/index.ts';

/** What pg-boss calls a database. */
export interface BossDatabase {
  executeSql(text: string, values?: unknown[]): Promise<{ rows: never[] }>;
}

/** The data layer as pg-boss sees it. */
export function bossDatabase(db: Db): BossDatabase {
  const { executeSql } = sqlExecutor(db);
  return {
    async executeSql(text, values) {
      const result = await executeSql(text, values);
      return /^SELECT version from/.test(text) ? { rows: acceptNewer(result.rows) } : result;
    },
  };
}

/**
 * pg-boss refuses every schema version but its own. During a rolling upgrade the migration has run and pods of the
 * previous release still start: a newer schema is accepted, as everywhere in Klar; an older one is not.
 */
function acceptNewer(rows: { version: number | string }[]): never[] {
  const own = bossPackage.pgboss.schema;
  return rows.map((row) => (Number(row.version) > own ? { version: own } : row)) as never[];
}
