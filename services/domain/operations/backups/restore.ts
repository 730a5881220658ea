import {
  closeTarget,
  dropIncomplete,
  ensureDatabase,
  ensureRoles,
  inspectTarget,
  onDatabase,
  openServer,
  openTarget,
  type RestoreTarget,
  type ServerSession,
  settleRestored,
} from '#platform/db/setup.ts';
import { insertProof } from '../store/proofs.ts';
import type { BackupStore } from './backup-store.ts';
import { type Manifest, readManifest } from './manifest.ts';
import type { PgTools } from './pg-tools.ts';
import { type Check, proveRestored } from './proof.ts';
import { chooseBackup, type LocalCopy, withCopy } from './restore-copy.ts';
import { RestoreFailure } from './restore-failures.ts';
import { judgeServer } from './restore-server.ts';
import { loadDump, restoreTools } from './restore-tools.ts';
import { restoredDatabase, type Stopwatch, stopwatch } from './verify.ts';

export interface RestoreInput {
  store: BackupStore;
  /** An id; absent or `newest`: the newest that is committed. */
  backup?: string | undefined;
  /** A superuser's direct connection to the database to restore into. It must be empty, or not be there. */
  url: string;
  identity?: string | undefined;
  jobs: number;
  workDir?: string | undefined;
  /** The newest migration that this build knows. */
  newestMigration: number;
  /** Checks everything and changes nothing. */
  dryRun: boolean;
  /** Drops what an interrupted restore left, and that alone. */
  again: boolean;
  /** Asked once, when everything was checked that can be without the data; false ends it. */
  confirm(plan: RestorePlan): Promise<boolean>;
  signal: AbortSignal;
  now(): Date;
  say(line: string): void;
}

/** What is about to happen. */
export interface RestorePlan {
  backup: string;
  /** Whatever happened after this moment is not in the backup. */
  dataOf: string;
  /** Stored bytes. */
  bytes: number;
  schemaVersion: number;
  database: string;
  server: string;
  steps: string[];
}

export interface Restored {
  plan: RestorePlan;
  dryRun: boolean;
  checks: Check[];
  steps: { name: string; seconds: number }[];
  rtoSeconds: number;
  rpoSeconds: number;
  /** The next release of the schema is waiting. */
  migrate: boolean;
}

/** ops.restore_proofs came with this migration; an older dump has no place to keep its proof. */
const PROOFS_SINCE = 100;

/**
 * Restores a backup into an empty database. While it works the database is marked, and closed to everybody but
 * superusers: killed at any moment, it leaves a database that nothing can serve from, and `again` begins anew.
 * @throws RestoreFailure, and what the store throws
 */
export async function restoreBackup(input: RestoreInput): Promise<Restored> {
  const startedAt = input.now();
  const clock = stopwatch(input.say);
  const backupId = await clock('choose', () => chooseBackup(input.store, input.backup));
  const manifest = await clock('manifest', () => readManifest(input.store, backupId));
  const tools = await restoreTools(manifest);
  const server = await openTargetServer(input.url);
  try {
    const target = await inspect(server, input, manifest);
    const plan = planOf(server, input, manifest, target);
    if (!input.dryRun && !(await input.confirm(plan))) {
      throw new RestoreFailure('restore_not_confirmed', `Nothing was changed in ${target.database}.`);
    }
    const signal = AbortSignal.any([input.signal, server.lost]);
    const checks = await withCopy({ ...input, manifest, tools, signal }, async (copy) => {
      clock.note('fetch');
      return input.dryRun ? [] : fill({ ...input, signal }, copy, tools, target, clock);
    });
    const finishedAt = input.now();
    const seconds = (from: number) => Math.max(0, (finishedAt.getTime() - from) / 1_000);
    const restored: Restored = {
      plan,
      dryRun: input.dryRun,
      checks,
      steps: clock.steps,
      rtoSeconds: seconds(startedAt.getTime()),
      rpoSeconds: Math.max(0, (startedAt.getTime() - Date.parse(manifest.snapshot_at)) / 1_000),
      migrate: manifest.schema_version < input.newestMigration,
    };
    if (!input.dryRun) {
      // The database is whole and proven: a row that cannot be written must not cost hours of doing it all again.
      await keepProof(input, restored, startedAt, finishedAt).catch((error: Error) =>
        input.say(`The proof could not be written into ops.restore_proofs: ${error.message}`),
      );
      await openTarget(input.url);
    }
    return restored;
  } finally {
    await server.close().catch(() => {});
  }
}

/** On a database that is always there: the target may not be. */
async function openTargetServer(url: string): Promise<ServerSession> {
  return openServer(onDatabase(url, 'postgres'), 'klar restore').catch((error: Error) => {
    throw new RestoreFailure('restore_target_unreachable', `The server does not take us: ${error.message}.`, error);
  });
}

async function inspect(server: ServerSession, input: RestoreInput, manifest: Manifest): Promise<RestoreTarget> {
  if (!server.facts.superuser) {
    const detail = `${server.facts.login} is no superuser; roles and their grants can be made by nobody else.`;
    throw new RestoreFailure('restore_target_unfit', detail);
  }
  const [unfit] = judgeServer(server.facts, { manifest, createsDatabase: false });
  if (unfit !== undefined) throw new RestoreFailure(unfit.code, unfit.detail);
  if (manifest.schema_version > input.newestMigration) {
    const detail = `The backup has schema version ${manifest.schema_version}; this build knows up to ${input.newestMigration}.`;
    throw new RestoreFailure('proof_schema_newer', detail);
  }
  const target = await inspectTarget(input.url);
  if (!(await server.claim(target.database))) {
    throw new RestoreFailure('restore_target_busy', `Another restore into ${target.database} is at work.`);
  }
  if (target.incomplete !== undefined) {
    const { backup, since } = target.incomplete;
    const detail = `${target.database} holds a restore of ${backup} that began at ${since} and never ended.`;
    if (!input.again) throw new RestoreFailure('restore_target_incomplete', detail);
  } else if (target.holds.length > 0) {
    const detail = `${target.database} is not empty: ${target.holds.join(', ')}.`;
    throw new RestoreFailure('restore_target_not_empty', detail);
  }
  return target;
}

function planOf(server: ServerSession, input: RestoreInput, manifest: Manifest, target: RestoreTarget): RestorePlan {
  const { database } = target;
  const fresh = target.incomplete
    ? [`drop ${database}, which an interrupted restore left half done, and make it anew`]
    : [target.exists ? `take ${database}, which is empty` : `make the database ${database}`];
  return {
    backup: manifest.id,
    dataOf: manifest.snapshot_at,
    bytes: manifest.parts.reduce((sum, part) => sum + part.bytes, 0),
    schemaVersion: manifest.schema_version,
    database,
    server: `PostgreSQL ${server.facts.versionText}, system ${server.facts.systemIdentifier}`,
    steps: [
      `fetch ${manifest.parts.length} parts and compare their SHA-256`,
      ...fresh,
      'make the roles and their rights (klar roles ensure)',
      `close ${database} to everybody but superusers, and mark it as incomplete`,
      `load the dump with ${input.jobs} connections`,
      'compare versions, rows, sums, contents, policies and grants with the manifest; look as tenants do',
      'set transaction numbers of the old server back, and make statistics',
      `open ${database}`,
    ],
  };
}

/** From an empty database to a proven one that is still closed. */
async function fill(
  input: RestoreInput,
  copy: LocalCopy,
  tools: PgTools,
  target: RestoreTarget,
  clock: Stopwatch,
): Promise<Check[]> {
  const { url, signal } = input;
  const { manifest } = copy;
  await clock('prepare', async () => {
    if (target.incomplete !== undefined) await dropIncomplete(url);
    await ensureDatabase(onDatabase(url, 'postgres'), target.database);
    await ensureRoles({ superuserUrl: url });
    // Closed, then looked at again: minutes have passed, and somebody may have migrated it meanwhile.
    await closeTarget(url, manifest.id);
    const { holds } = await inspectTarget(url);
    if (holds.length > 0) {
      await openTarget(url);
      throw new RestoreFailure(
        'restore_target_not_empty',
        `${target.database} was filled meanwhile: ${holds.join(', ')}.`,
      );
    }
  });
  signal.throwIfAborted();
  await clock('restore', () => loadDump(tools, { dir: copy.dir, url, jobs: input.jobs, signal }));
  const db = restoredDatabase(url);
  try {
    const checks = await clock('checks', () => proveRestored(db, manifest, input.newestMigration));
    const bad = checks.find((check) => !check.ok);
    if (bad?.code !== undefined) {
      throw new RestoreFailure(bad.code, `${bad.detail} ${target.database} stays closed.`);
    }
    signal.throwIfAborted();
    await clock('settle', () => settleRestored(url));
    return checks;
  } finally {
    await db.close();
  }
}

/** A restore that was needed proves as much as one that was not. */
async function keepProof(input: RestoreInput, restored: Restored, startedAt: Date, finishedAt: Date): Promise<void> {
  const { plan, rtoSeconds, rpoSeconds, checks } = restored;
  if (plan.schemaVersion < PROOFS_SINCE) return;
  const db = restoredDatabase(input.url);
  try {
    await db.withTx((tx) =>
      insertProof(tx, { backupId: plan.backup, startedAt, finishedAt, ok: true, rtoSeconds, rpoSeconds, checks }),
    );
  } finally {
    await db.close();
  }
}
