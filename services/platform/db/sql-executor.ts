import type { Db } from './types.ts';

/** Runs SQL text that a library wrote; each call commits by itself. */
export interface SqlExecutor {
  executeSql(text: string, values?: unknown[]): Promise<{ rows: never[] }>;
}

const executors = new WeakMap<Db, SqlExecutor>();

export function registerSqlExecutor(db: Db, executor: SqlExecutor): void {
  executors.set(db, executor);
}

/**
 * The way in for a library that brings its own SQL (pg-boss, better-auth). Our own statements have names and go
 * through `withTx`: this is deliberately not a method of Db.
 */
export function sqlExecutor(db: Db): SqlExecutor {
  const executor = executors.get(db);
  if (executor === undefined) throw new TypeError('not a Db made by createDb');
  return executor;
}
