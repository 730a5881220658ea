import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { randomToken } from '#platform/crypto/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail, type KlarError } from '#platform/errors/index.ts';
import { claimKey, completeKey, fenceKey, type KeyId, readKey, releaseKey } from './store.ts';

/**
 * One effect per Idempotency-Key. A short transaction claims the key; the handler's last transaction stores the answer
 * in the same commit as its effect, fenced by the owner's token. So a kill at any instruction leaves either nothing
 * (the lease runs out and the next request begins anew) or effect and answer together.
 */

/** An answer as it goes over the wire, so that a repeated one is the same bytes. */
export interface WireAnswer {
  status: number;
  headers: Record<string, string>;
  body: string | null;
}

export type Outcome = 'executed' | 'replayed' | 'busy' | 'mismatch' | 'lost';

export interface IdempotencyOptions {
  /** How long a request waits for another's answer before 409. */
  waitMs: number;
  /** Longer than any request may take (30 s), so that only a dead owner is taken over. */
  leaseMs: number;
  /** Between two looks at a key that another process works on. */
  pollMs: number;
  onOutcome?(operation: string, outcome: Outcome): void;
}

export const IDEMPOTENCY_DEFAULTS: IdempotencyOptions = { waitMs: 5_000, leaseMs: 35_000, pollMs: 100 };

/** What the pipeline gives: transactions that authorize first, and the work itself. */
export interface KeyedWork {
  id: KeyId;
  hash: Buffer;
  signal: AbortSignal;
  /** A transaction that authorizes the caller before `fn`'s result counts. Used to claim, and before a stored answer is given. */
  look<T>(fn: (tx: TenantTx) => Promise<T>): Promise<T>;
  /** A transaction without authorization or abort, for storing a refusal and releasing the key. */
  tidy<T>(fn: (tx: TenantTx) => Promise<T>): Promise<T>;
  /** Runs the handler. */
  execute(lease: Lease): Promise<WireAnswer>;
  /** A refusal that is an answer (business 4xx), or undefined when nothing was decided (5xx, authorization, retryable). */
  refusal(error: unknown): WireAnswer | undefined;
}

/** Ownership of a key while its handler runs. */
export interface Lease {
  /** First statement of each transaction of a handler with steps. @throws when the key was taken over */
  fence(tx: TenantTx): Promise<void>;
  /** Last statement of the transaction that holds the effect. @throws when the key was taken over, which rolls the effect back */
  complete(tx: TenantTx, answer: WireAnswer): Promise<void>;
}

export interface Idempotency {
  run(work: KeyedWork): Promise<WireAnswer & { replayed: boolean }>;
}

/** SHA-256 over a canonical form: key order and white space of the client's JSON do not make another request. */
export function requestHash(parts: { path: string; query: unknown; body: unknown }): Buffer {
  return createHash('sha256').update(canonical(parts)).digest();
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, v: unknown) =>
    v !== null && typeof v === 'object' && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : v,
  );
}

class LeaseLost extends Error {}

export const busy = (): KlarError =>
  fail.conflict('idempotency_in_progress', 'A request with this Idempotency-Key is still being worked on.', {
    retryAfterS: 1,
  });

const reused = () =>
  fail.unprocessable('idempotency_key_reused', 'This Idempotency-Key was used with another request.');

interface KeyState {
  /** Tail of the turns in which this process looks at the key: 50 parallel requests are 1 connection, not 50. */
  turn: Promise<unknown>;
  /** Settles when the request of this process that owns the key is done. */
  running: Promise<unknown> | undefined;
  users: number;
}

export function createIdempotency(options: IdempotencyOptions = IDEMPOTENCY_DEFAULTS): Idempotency {
  const states = new Map<string, KeyState>();

  async function run(work: KeyedWork): Promise<WireAnswer & { replayed: boolean }> {
    const name = JSON.stringify(Object.values(work.id));
    const state = states.get(name) ?? { turn: Promise.resolve(), running: undefined, users: 0 };
    states.set(name, state);
    state.users++;
    try {
      return await loop(work, state, Date.now() + options.waitMs);
    } finally {
      if (--state.users === 0) states.delete(name);
    }
  }

  async function loop(work: KeyedWork, state: KeyState, deadline: number): Promise<WireAnswer & { replayed: boolean }> {
    const note = (outcome: Outcome) => options.onOutcome?.(work.id.operation, outcome);
    for (;;) {
      work.signal.throwIfAborted();
      const owner = randomToken(16);
      const seen = await inTurn(state, async () => {
        if (state.running !== undefined) return undefined;
        const row = await work.look(async (tx) => {
          // Both in one flight. The claim changes nothing unless the key is new, over, or left by a dead owner.
          const [, found] = await Promise.all([
            claimKey(tx, work.id, work.hash, owner, options.leaseMs),
            readKey(tx, work.id),
          ]);
          return found;
        });
        if (row?.owner_token !== owner) return { row };
        const running = execute(work, owner, note);
        // Waiters only need the end: an error belongs to the request that executes.
        state.running = running
          .catch(() => undefined)
          .finally(() => {
            state.running = undefined;
          });
        return { running };
      });
      if (seen?.running !== undefined) return { ...(await seen.running), replayed: false };
      if (seen?.row !== undefined) {
        const { row } = seen;
        if (!row.request_hash.equals(work.hash)) {
          note('mismatch');
          throw reused();
        }
        if (row.state === 'done') {
          note('replayed');
          return {
            status: row.response_status ?? 0,
            headers: row.response_headers ?? {},
            body: row.response_body,
            replayed: true,
          };
        }
      }
      if (Date.now() >= deadline) {
        note('busy');
        throw busy();
      }
      const left = deadline - Date.now();
      await waitFor(state.running, state.running === undefined ? Math.min(left, jitter()) : left, work.signal);
    }
  }

  const jitter = () => options.pollMs * (0.5 + Math.random());

  async function execute(work: KeyedWork, owner: string, note: (outcome: Outcome) => void): Promise<WireAnswer> {
    const owned = (count: number) => {
      if (count !== 1) throw new LeaseLost('another request took the Idempotency-Key over');
    };
    const lease: Lease = {
      fence: async (tx) => owned(await fenceKey(tx, work.id, owner, options.leaseMs)),
      complete: async (tx, answer) => owned(await completeKey(tx, work.id, owner, answer)),
    };
    try {
      const answer = await work.execute(lease);
      note('executed');
      return answer;
    } catch (error) {
      if (error instanceof LeaseLost) {
        note('lost');
        throw busy();
      }
      const refusal = work.refusal(error);
      if (refusal === undefined) {
        // Where even this fails (database away) the lease frees the key.
        await work.tidy((tx) => releaseKey(tx, work.id, owner)).catch(() => undefined);
        throw error;
      }
      const kept = await work.tidy((tx) => completeKey(tx, work.id, owner, refusal));
      if (kept !== 1) throw busy();
      note('executed');
      return refusal;
    }
  }

  return { run };
}

function inTurn<T>(state: KeyState, fn: () => Promise<T>): Promise<T> {
  const turn = state.turn.then(fn, fn);
  state.turn = turn.catch(() => undefined);
  return turn;
}

/** Until `settled` settles, `ms` pass, or the client goes away. Holds no connection. */
async function waitFor(settled: Promise<unknown> | undefined, ms: number, signal: AbortSignal): Promise<void> {
  const timer = new AbortController();
  const any = AbortSignal.any([signal, timer.signal]);
  const pause = delay(Math.max(1, ms), undefined, { signal: any }).catch(() => undefined);
  await (settled === undefined ? pause : Promise.race([settled, pause]));
  timer.abort();
  signal.throwIfAborted();
}
