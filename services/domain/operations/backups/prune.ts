import type { Db } from '#platform/db/index.ts';
import { fail, KlarError } from '#platform/errors/index.ts';
import { markPruned, type ProofState, readProofStates, readServerVersion } from '../store/backups.ts';
import type { BackupStore, StoredBackup } from './backup-store.ts';
import { readManifest } from './manifest.ts';
import { OF_THE_PLACE } from './restore-failures.ts';
import { type Decision, type Proof, planRetention, type Retention } from './retention.ts';

export interface PruneInput {
  /** As klar_ops: the proofs are read there, and what was removed is written down. */
  db: Db;
  store: BackupStore;
  retention: Retention;
  /** This machine's time, compared with the database's. */
  now: Date;
  dryRun: boolean;
  signal: AbortSignal;
  /** Asked before each removal; throws when this run may act no more. */
  fenced: () => Promise<void>;
}

export interface PruneReport {
  decisions: (Decision & { bytes: number })[];
  removed: string[];
  freed: number;
  dry_run: boolean;
}

/** Two clocks that differ by more are not both right, and which one is wrong cannot be known. */
const CLOCKS_MS = 15 * 60_000;

/**
 * Removes what the retention does not keep, oldest first.
 * @throws KlarError `backup_clocks_differ`, `backup_cover_broken`, and what the store throws (`backup_store_refused`:
 *   this identity may not delete)
 */
export async function pruneBackups(input: PruneInput): Promise<PruneReport> {
  const { db, store, retention, now, dryRun, signal } = input;
  const [server, proofs] = await db.withTx(async (tx) =>
    Promise.all([readServerVersion(tx), readProofStates(tx, OF_THE_PLACE)] as const),
  );
  const apart = Math.abs(server.now.getTime() - now.getTime());
  if (apart > CLOCKS_MS) {
    throw fail.unprocessable(
      'backup_clocks_differ',
      `The database's clock and this machine's are ${Math.round(apart / 60_000)} minutes apart; nothing is removed by a wrong clock.`,
    );
  }
  const stored = await listAll(store);
  const proofOf = proofsById(proofs);
  const candidates = stored.map((backup) => ({ ...backup, proof: proofOf(backup.id) }));
  const plan = planRetention(candidates, retention, now);
  const bytes = new Map(stored.map((backup) => [backup.id, backup.bytes]));
  const decisions = plan.map((decision) => ({ ...decision, bytes: bytes.get(decision.id) ?? 0 }));
  const doomed = decisions.filter(({ keep }) => !keep);
  const past = candidates.filter(({ at }) => at <= now);
  if (doomed.length > 0) await checkCover(store, past);
  const report: PruneReport = { decisions, removed: [], freed: 0, dry_run: dryRun };
  if (dryRun) return report;
  for (const { id, bytes } of doomed) {
    signal.throwIfAborted();
    await input.fenced();
    await store.remove(id);
    await db.withTx((tx) => markPruned(tx, id));
    report.removed.push(id);
    report.freed += bytes;
  }
  return report;
}

/** What covers the others is there now, as far as can be seen without restoring it: its manifest, and the bytes it names. */
async function checkCover(store: BackupStore, candidates: readonly (StoredBackup & { proof: Proof })[]): Promise<void> {
  const cover = candidates.filter(({ committed, proof }) => committed && proof === 'ok').at(-1);
  if (cover === undefined) return;
  const broken = (why: string, cause?: unknown) =>
    fail.unprocessable(
      'backup_cover_broken',
      `${cover.id} was restored with success once, but ${why}. Nothing is removed.`,
      undefined,
      { cause },
    );
  try {
    const { parts } = await readManifest(store, cover.id);
    const wanted = parts.reduce((sum, part) => sum + part.bytes, 0);
    if (cover.bytes < wanted) throw broken(`${wanted - cover.bytes} of its bytes are gone`);
  } catch (error) {
    if (error instanceof KlarError && /^backup_(manifest|object|format)_/.test(error.code)) {
      throw broken(error.detail, error);
    }
    throw error;
  }
}

/** Every backup of a store, oldest first. */
export async function listAll(store: BackupStore): Promise<StoredBackup[]> {
  return Array.fromAsync(store.list());
}

/** By the newest proof of each. */
export function proofsById(proofs: readonly ProofState[]): (id: string) => Proof {
  const states = new Map(proofs.map(({ backup_id, ok }) => [backup_id, ok]));
  return (id) => {
    const ok = states.get(id);
    return ok === undefined ? 'unknown' : ok ? 'ok' : 'failed';
  };
}
