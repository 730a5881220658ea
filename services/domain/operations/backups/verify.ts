import { createDb, type Db, sqlState } from '#platform/db/index.ts';
import { ensureRoles, onDatabase, openServer, type ServerSession } from '#platform/db/setup.ts';
import { newId } from '#platform/ids/index.ts';
import type { ProofRow } from '../store/proofs.ts';
import type { BackupStore } from './backup-store.ts';
import { type Manifest, readManifest } from './manifest.ts';
import type { PgTools } from './pg-tools.ts';
import { type Check, proveRestored } from './proof.ts';
import { chooseBackup, withCopy } from './restore-copy.ts';
import { RestoreFailure, restoreFailure } from './restore-failures.ts';
import { judgeServer } from './restore-server.ts';
import { loadDump, restoreTools } from './restore-tools.ts';

/** Databases of this prefix are ours to drop, and nobody else's to make. */
export const VERIFY_PREFIX = 'klar_verify_';

/** Every server has it, unless somebody dropped it. */
const MEETING_PLACE = 'postgres';
/** Not there, no right to connect, or pg_hba.conf has no line for it. */
const SHUT_OUT = new Set(['3D000', '42501', '28000']);

export interface VerifyInput {
  store: BackupStore;
  /** An id; absent or `newest`: the newest that is committed. */
  backup?: string | undefined;
  /** The server to restore on, direct, with a login that may do what judgeServer asks; which database does not matter. */
  url: string;
  /** Production's system identifier, when it is known. */
  production: { identifier: string | undefined; allowed: boolean };
  identity?: string | undefined;
  jobs: number;
  workDir?: string | undefined;
  /** The newest migration that this build knows. */
  newestMigration: number;
  signal: AbortSignal;
  now(): Date;
  say(line: string): void;
}

/** What a restore has shown. */
export interface RestoreProof extends ProofRow {
  checks: Check[];
  steps: { name: string; seconds: number }[];
  /** The first of the checks that is not ok. */
  failure?: RestoreFailure;
}

/**
 * Restores a backup into a database of its own on another server and looks at it. The database is dropped whatever
 * happens; what a killed run left is dropped by the next one.
 * @returns a proof, of failure too. @throws when no backup could be chosen, when it was stopped, and for faults of ours
 */
export async function verifyBackup(input: VerifyInput): Promise<RestoreProof> {
  const startedAt = input.now();
  const clock = stopwatch(input.say);
  const backupId = await clock('choose', () => chooseBackup(input.store, input.backup));
  let manifest: Manifest | undefined;
  const checks: Check[] = [];
  const proof = (failure?: RestoreFailure): RestoreProof => {
    const finishedAt = input.now();
    const ok = failure === undefined;
    const rpo = manifest && Math.max(0, (startedAt.getTime() - Date.parse(manifest.snapshot_at)) / 1_000);
    return {
      backupId,
      startedAt,
      finishedAt,
      ok,
      rtoSeconds: ok ? (finishedAt.getTime() - startedAt.getTime()) / 1_000 : null,
      rpoSeconds: rpo ?? null,
      checks,
      steps: clock.steps,
      ...(ok ? {} : { failure }),
    };
  };
  try {
    const known = await clock('manifest', () => readManifest(input.store, backupId));
    manifest = known;
    checks.push({ name: 'manifest', ok: true, detail: `committed, data of ${known.snapshot_at}` });
    const tools = await restoreTools(known);
    await onServer(input, known, (server, signal) =>
      withCopy({ ...input, manifest: known, tools, signal }, async (copy) => {
        clock.note('fetch');
        checks.push({
          name: 'parts',
          ok: true,
          detail: `${known.parts.length} parts, ${copy.bytes} bytes, ${copy.tables} tables`,
        });
        checks.push(...(await proveOn(server, { ...input, signal }, known, tools, copy.dir, clock)));
      }),
    );
    const bad = checks.find((check) => !check.ok);
    return proof(bad?.code && new RestoreFailure(bad.code, bad.detail));
  } catch (error) {
    // Why it was aborted says more than what the step that ran made of it.
    const failure = restoreFailure(input.signal.aborted ? input.signal.reason : error);
    // A drained node says nothing of the backup: no proof, of failure either.
    if (failure === undefined || failure.code === 'restore_stopped') throw failure ?? error;
    checks.push({ name: 'restore', ok: false, detail: failure.detail, code: failure.code });
    return proof(failure);
  }
}

/** Opens the server, judges it, clears what killed runs left. */
async function onServer<T>(
  input: VerifyInput,
  manifest: Manifest,
  fn: (server: ServerSession, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  // Claims are advisory locks, and those belong to a database: whatever the URL names, all runs meet in the same one.
  const server = await openServer(onDatabase(input.url, MEETING_PLACE), 'klar restore-verify').catch((error: Error) => {
    const detail = `RESTORE_VERIFY_DATABASE_URL: ${error.message}.`;
    if (!SHUT_OUT.has(sqlState(error) ?? '')) throw new RestoreFailure('restore_target_unreachable', detail, error);
    const mend = `Its login must be let into the database ${MEETING_PLACE}, where runs see each other: grant connect on database ${MEETING_PLACE} to it, and let pg_hba.conf allow that.`;
    throw new RestoreFailure('restore_target_unfit', `${detail} ${mend}`, error);
  });
  try {
    const [unfit] = judgeServer(server.facts, {
      manifest,
      createsDatabase: true,
      production: { ...input.production, identifier: input.production.identifier ?? manifest.system_identifier },
    });
    if (unfit !== undefined) throw new RestoreFailure(unfit.code, unfit.detail);
    for (const name of await dropLeftovers(server)) input.say(`dropped ${name}, left by a run that was killed`);
    return await fn(server, AbortSignal.any([input.signal, server.lost]));
  } catch (error) {
    if (!server.lost.aborted) throw error;
    throw new RestoreFailure(
      'restore_target_unreachable',
      `The server went away: ${server.lost.reason.message}.`,
      error,
    );
  } finally {
    await server.close().catch(() => {});
  }
}

/** Drops databases of our prefix that no session claims; what another run works on stays. */
export async function dropLeftovers(server: ServerSession): Promise<string[]> {
  const dropped: string[] = [];
  for (const name of await server.databases(VERIFY_PREFIX)) {
    if (!(await server.claim(name))) continue;
    await server.drop(name);
    await server.unclaim(name);
    dropped.push(name);
  }
  return dropped;
}

async function proveOn(
  server: ServerSession,
  input: VerifyInput,
  manifest: Manifest,
  tools: PgTools,
  dir: string,
  clock: Stopwatch,
): Promise<Check[]> {
  const name = VERIFY_PREFIX + newId('x').slice(-24);
  // Claimed before it exists: no other run may ever see it unclaimed.
  await server.claim(name);
  try {
    await server.create(name);
    const url = server.url(name);
    // On a server that has them they are left alone: it may be production's, and mending roles is no part of a proof.
    if (server.facts.missingRoles.length > 0) await ensureRoles({ superuserUrl: url });
    await clock('restore', () => loadDump(tools, { dir, url, jobs: input.jobs, signal: input.signal }));
    const db = restoredDatabase(url);
    try {
      return await clock('checks', () => proveRestored(db, manifest, input.newestMigration));
    } finally {
      await db.close();
    }
  } finally {
    await clock('drop', () => server.drop(name));
  }
}

/** As the restoring login; a digest of a large table takes its time. */
export function restoredDatabase(url: string): Db {
  return createDb({ url, role: 'klar_restore', poolSize: 1, appName: 'klar restore', answerTimeoutMs: 6 * 3_600_000 });
}

export type Stopwatch = ReturnType<typeof stopwatch>;

/** Times steps, and tells each. */
export function stopwatch(say: (line: string) => void) {
  const steps: { name: string; seconds: number }[] = [];
  let last = performance.now();
  const note = (name: string) => {
    const seconds = Math.round(performance.now() - last) / 1_000;
    last = performance.now();
    steps.push({ name, seconds });
    say(`${name.padEnd(10)} ${seconds.toFixed(1)} s`);
  };
  const time = async <T>(name: string, fn: () => Promise<T>): Promise<T> => {
    const value = await fn();
    note(name);
    return value;
  };
  return Object.assign(time, { steps, note });
}
