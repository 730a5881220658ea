import { readdir } from 'node:fs/promises';
import { environment } from '#platform/config/index.ts';
import { lackOf, tablesInList } from './archive-list.ts';
import type { Manifest } from './manifest.ts';
import { connectionOf, findPgTools, type PgTools, runTool, ToolFailure } from './pg-tools.ts';
import { RestoreFailure } from './restore-failures.ts';

/** `15.6 (Debian ...)` and `18beta1` alike. */
export function majorOf(version: string): number {
  return Number.parseInt(version, 10);
}

/**
 * The oldest pg_restore that reads the dump: a newer one speaks to the server in words that an older server may not know.
 * @throws RestoreFailure `restore_tools`
 */
export async function restoreTools(manifest: Pick<Manifest, 'pg_dump_version'>): Promise<PgTools> {
  const wanted = majorOf(manifest.pg_dump_version);
  const found = await findPgTools(environment().PATH);
  const [tools] = found.filter(({ major }) => major >= wanted).sort((a, b) => a.major - b.major);
  if (tools !== undefined) return tools;
  const here =
    found.length === 0
      ? 'there is no pg_restore here'
      : `here is pg_restore ${found.map(({ major }) => major).join(', ')}`;
  throw new RestoreFailure('restore_tools', `The dump was written by pg_dump ${wanted}; ${here}.`);
}

/**
 * Looks into a dump without a server. @returns the number of its tables
 * @throws RestoreFailure `restore_dump_unreadable`, `restore_dump_empty`, `restore_dump_partial`
 */
export async function inspectDump(
  tools: PgTools,
  dir: string,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<number> {
  const list = await runTool({ file: tools.restore, args: ['--list', dir], env: {}, signal }).catch((error) => {
    throw toolError('restore_dump_unreadable', 'pg_restore can not read the dump', error);
  });
  const tables = tablesInList(list);
  const lack = lackOf(manifest.tables, tables, await readdir(dir));
  if (tables.length === 0)
    throw new RestoreFailure('restore_dump_empty', `${manifest.id}: the dump holds not one table.`);
  if (lack !== undefined) throw new RestoreFailure('restore_dump_partial', `${manifest.id}: ${lack}.`);
  return tables.length;
}

/** Loads a dump; the first error ends it. @throws RestoreFailure `restore_failed` */
export async function loadDump(
  tools: PgTools,
  input: { dir: string; url: string; jobs: number; signal: AbortSignal },
): Promise<void> {
  const { url, env } = connectionOf(input.url);
  const args = [
    `--dbname=${url}`,
    '--format=directory',
    `--jobs=${input.jobs}`,
    '--exit-on-error',
    '--no-password',
    // A copy must not begin to receive what production receives, nor ask for disks that this server lacks.
    '--no-subscriptions',
    '--no-publications',
    '--no-tablespaces',
    '--no-security-labels',
    input.dir,
  ];
  await runTool({ file: tools.restore, args, env, signal: input.signal }).catch((error) => {
    throw toolError('restore_failed', 'pg_restore failed', error);
  });
}

function toolError(code: 'restore_failed' | 'restore_dump_unreadable', what: string, error: unknown): unknown {
  if (!(error instanceof ToolFailure)) return error;
  return new RestoreFailure(code, `${what}: ${said(error.lines)}.`, error);
}

/** The errors alone: DETAIL and CONTEXT quote rows, and a row may be about a person. */
export function said(lines: readonly string[]): string {
  const errors = lines.filter((line) => /^pg_restore: (error|fatal)|\b(ERROR|FATAL):/.test(line)).slice(0, 3);
  return errors.map((line) => line.replace(/^pg_restore: /, '').slice(0, 300)).join('; ') || 'it said nothing';
}
