import type { Claimed, Inbox } from '#domain/webhooks/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { startLoop, type Turn } from './loop.ts';

export type InboxLoopInput = {
  inbox: Inbox;
  log: Logger;
  metrics: Metrics;
  /** Asked before each claim: while false, what was received waits as it is. Default: always true. */
  mayHandle?: () => boolean;
  /** Events handled at the same time in this process. */
  concurrency?: number;
  /** How soon an event stored by another process is seen. */
  pollMs?: number;
  /** How long a stop waits for running handlers before it ends them and gives their events back. */
  graceMs?: number;
};

export type InboxLoop = { wake(): void; stop(): Promise<void> };

/** Handlers mostly wait for the provider; the pool of ten leaves two connections for the loops. */
const CONCURRENCY = 8;
const POLL_MS = 250;
/** Below the 20 s that the lifecycle gives a step. */
const GRACE_MS = 12_000;
const EXPIRE_EVERY_MS = 1_000;
const REVIVE_EVERY_MS = 15_000;

/** Routes, claims and handles events until stopped. */
export function startInboxLoop(input: InboxLoopInput): InboxLoop {
  const { inbox, log, metrics } = input;
  const concurrency = input.concurrency ?? CONCURRENCY;
  const active = new Set<Promise<unknown>>();
  const ending = new AbortController();

  function begin(claimed: Claimed): void {
    const running = inbox.handle(claimed, ending.signal);
    active.add(running);
    void running.finally(() => {
      active.delete(running);
      // Half of the places, not one: claiming single events would cost a claim for each of them.
      if (active.size <= concurrency / 2) main.wake();
    });
  }

  async function turn(stopping: AbortSignal): Promise<Turn> {
    const routed = await inbox.route();
    const free = concurrency - active.size;
    // Before the claim: an event that nobody claimed counts no attempt and stays claimable.
    const may = input.mayHandle?.() ?? true;
    if (free === 0 || stopping.aborted || !may) return 'idle';
    const claimed = await inbox.claim(free);
    // A stop that came during the claim: these were not begun, so they go back unharmed.
    if (stopping.aborted) await inbox.release(claimed);
    else for (const one of claimed) begin(one);
    return routed > 0 && active.size < concurrency ? 'again' : 'idle';
  }

  const main = startLoop({ name: 'inbox', everyMs: input.pollMs ?? POLL_MS, run: turn, log, metrics });
  const expire = startLoop({
    name: 'inbox-leases',
    everyMs: EXPIRE_EVERY_MS,
    run: async () => {
      if ((await inbox.expireLeases()) > 0) main.wake();
      return 'idle';
    },
    log,
    metrics,
  });
  const revive = startLoop({
    name: 'inbox-unmatched',
    everyMs: REVIVE_EVERY_MS,
    run: async () => {
      if ((await inbox.reviveUnmatched()) > 0) main.wake();
      return 'idle';
    },
    log,
    metrics,
  });

  return {
    wake: () => main.wake(),
    async stop() {
      await Promise.all([main.stop(), expire.stop(), revive.stop()]);
      const grace = setTimeout(() => ending.abort(new Error('the worker stops')), input.graceMs ?? GRACE_MS);
      await Promise.allSettled(active);
      clearTimeout(grace);
    },
  };
}
