import { availableParallelism } from 'node:os';
import { hash, verify } from '@node-rs/argon2';
import { fail } from '#platform/errors/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { normalizePassword } from './password.ts';

export interface PasswordHashing {
  hash(password: string): Promise<string>;
  verify(hash: string, password: string): Promise<boolean>;
}

/** Password hashing with bounded concurrency. */
export interface Hasher extends PasswordHashing {
  /**
   * Runs `fn` holding a permit to hash. The permit comes before the database connection: a login that waits for its
   * turn must not keep a connection from one that works.
   * @throws KlarError unavailable `login_busy` when too many already wait
   */
  withPermit<T>(fn: () => Promise<T>, signal?: AbortSignal): Promise<T>;
}

/**
 * OWASP Password Storage Cheat Sheet: argon2id with 19 MiB, two passes, one lane. `2` is argon2id: the library exports
 * its names as a const enum, which does not exist at run time.
 */
const ARGON2ID = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

export interface HasherInput {
  metrics: Metrics;
  /** Hashes at once: each takes a core and 19 MiB. Default: the cores, at most 3 (libuv has 4 threads, DNS needs one). */
  concurrency?: number;
  /** Waiting at most: at 30 ms a hash the last one waits about a second, longer than that nobody does. */
  queue?: number;
}

export function createHasher(input: HasherInput): Hasher {
  const concurrency = input.concurrency ?? Math.min(Math.max(availableParallelism(), 1), 3);
  const limit = input.queue ?? 64;
  const waiting: { start: () => void }[] = [];
  let running = 0;
  const seconds = input.metrics.histogram('klar_identity_hash_seconds', 'Duration of one password hash', ['kind']);
  const depth = input.metrics.gauge('klar_identity_hash_waiting', 'Logins waiting for their turn to hash');
  const refused = input.metrics.counter('klar_identity_hash_refused_total', 'Logins refused because too many waited');

  async function timed<T>(kind: string, work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    try {
      return await work();
    } finally {
      seconds.observe({ kind }, (performance.now() - started) / 1_000);
    }
  }

  function acquire(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (running < concurrency) {
      running += 1;
      return Promise.resolve();
    }
    if (waiting.length >= limit) {
      refused.inc();
      throw fail.unavailable('login_busy', 'Too many logins at the moment; try again shortly.', 2);
    }
    return new Promise((resolve, reject) => {
      const turn = {
        start: () => {
          signal?.removeEventListener('abort', leave);
          resolve();
        },
      };
      const leave = () => {
        waiting.splice(waiting.indexOf(turn), 1);
        depth.set(waiting.length);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', leave, { once: true });
      waiting.push(turn);
      depth.set(waiting.length);
    });
  }

  function release(): void {
    const next = waiting.shift();
    depth.set(waiting.length);
    // The permit is handed over: `running` stays, so nobody slips in between.
    if (next === undefined) running -= 1;
    else next.start();
  }

  return {
    hash: (password) => timed('hash', () => hash(normalizePassword(password), ARGON2ID)),
    verify: (stored, password) => timed('verify', () => verify(stored, normalizePassword(password))),
    async withPermit(fn, signal) {
      await acquire(signal);
      try {
        return await fn();
      } finally {
        release();
      }
    },
  };
}
