import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { createLoop, type Loop } from './loop.ts';
import { REVOCATION_POLL_MS, REVOCATION_STALE_MS } from './rules.ts';

/** Which sessions have ended, known in process: no request asks the database while the poll works. */
export interface Revocations {
  /** @throws whatever the database throws, when the poll has failed for too long and it must be asked */
  isEnded(sessionId: string): Promise<boolean>;
  /** What this process ended itself counts at once. */
  add(sessionIds: Iterable<string>): void;
  loop: Loop;
}

export interface RevocationsInput {
  /** All sessions that ended while an access token of theirs may live. */
  load(signal: AbortSignal): Promise<string[]>;
  /** The database's word on one session. */
  ask(sessionId: string): Promise<boolean>;
  log: Logger;
  metrics: Metrics;
  /** Milliseconds that never go back; the wall clock may. */
  monotonic?: () => number;
}

export function createRevocations(input: RevocationsInput): Revocations {
  const monotonic = input.monotonic ?? (() => performance.now());
  let known = new Set<string>();
  let addedHere = new Set<string>();
  let asOf = Number.NEGATIVE_INFINITY;
  const age = input.metrics.gauge('klar_identity_revocations_age_seconds', 'Age of what is known about ended sessions');
  const asked = input.metrics.counter(
    'klar_identity_revocation_fallbacks_total',
    'Requests that asked the database whether their session ended',
  );

  const loop = createLoop({
    name: 'revocations',
    everyMs: REVOCATION_POLL_MS,
    log: input.log,
    async runOnce() {
      // What is ended after this moment may be missing from the answer, however long the answer takes.
      const started = monotonic();
      // Ended here and maybe not yet in the answer: kept for one more poll.
      const ours = addedHere;
      for (const id of ours) known.add(id);
      addedHere = new Set();
      try {
        // A poll that hangs is a poll that failed; the next one must begin before what is known is too old.
        const loaded = await input.load(AbortSignal.timeout(REVOCATION_POLL_MS));
        known = new Set([...loaded, ...ours]);
        asOf = started;
        return undefined;
      } finally {
        age.set(Math.min((monotonic() - asOf) / 1_000, 1e6));
      }
    },
  });

  return {
    async isEnded(sessionId) {
      if (known.has(sessionId) || addedHere.has(sessionId)) return true;
      if (monotonic() - asOf <= REVOCATION_STALE_MS) return false;
      asked.inc();
      return input.ask(sessionId);
    },
    add(sessionIds) {
      for (const id of sessionIds) addedHere.add(id);
    },
    loop,
  };
}
