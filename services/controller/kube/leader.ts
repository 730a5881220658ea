import type { Clock } from '#platform/clock/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { KubeClient } from './client.ts';
import { isConflict, isNotFound } from './errors.ts';
import {
  decideLease,
  LEASE_LIMITS,
  type Lease,
  type LeaseLimits,
  lifeSign,
  nextToken,
  type Observed,
  renewalMs,
  stillOurs,
} from './lease.ts';
import { sleep, type Timing } from './timing.ts';

/** One reign. What is done in it ends when `signal` aborts. */
export type Term = {
  /** Greater than that of every earlier term; whoever stores something compares it with the greatest it has seen. */
  readonly token: number;
  readonly signal: AbortSignal;
  /**
   * Throws when the term is over by the clock, even if no timer had its turn yet: a process that was stopped and
   * goes on runs its next line first. Call it right before whatever others can see.
   */
  check(): void;
  /**
   * A store refused this term's token, because it has seen a greater one: ends the term; every term from now on, here
   * and in the other candidates, begins above. Nothing else can tell a token that is too small, as the lease and the
   * clock may both be older than the store.
   */
  refused(greatest: number): void;
};

export type LeaderInput = {
  client: KubeClient;
  namespace: string;
  /** Name of the Lease. */
  name: string;
  /** Unique for this process, not only for its pod: a restarted one is another candidate. */
  identity: string;
  clock: Clock;
  timing: Timing;
  log: Logger;
  /** Runs once a term and ends soon after the term's signal aborted; an early end gives the lease back. */
  lead(term: Term): Promise<void>;
  limits?: LeaseLimits;
};

export type LeaderElection = {
  start(): void;
  /** Ends the term, waits for what it ran and gives the lease back, so that the next one need not wait. */
  stop(): Promise<void>;
  term(): Term | undefined;
};

/** Runs `lead` in at most one process at a time, as far as clocks can tell; the token is for the rest. */
export function createLeaderElection(input: LeaderInput): LeaderElection {
  const { client, identity, timing, clock, log } = input;
  const limits = input.limits ?? LEASE_LIMITS;
  const collection = `/apis/coordination.k8s.io/v1/namespaces/${input.namespace}/leases`;
  const path = `${collection}/${input.name}`;
  const stopping = new AbortController();
  let loop: Promise<void> | undefined;
  let current: Term | undefined;
  let observed: Observed = { lease: undefined, unchangedSince: 0 };
  /** The greatest token seen, in the lease or by a store: no term of ours begins at or below it. */
  let greatest = 0;

  const timeoutMs = limits.requestMs;
  const get = (signal: AbortSignal, withinMs = timeoutMs) =>
    client.request<Lease>({ method: 'GET', path, signal, timeoutMs: withinMs, urgent: true });
  function leaseOf(token: number, holder: string, resourceVersion: string | undefined, acquired?: string): Lease {
    const now = clock.now().toISOString().replace('Z', '000Z'); // MicroTime
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        name: input.name,
        namespace: input.namespace,
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: Math.max(1, Math.ceil(limits.durationMs / 1_000)),
        acquireTime: acquired ?? now,
        renewTime: now,
        leaseTransitions: token,
      },
    };
  }
  // PUT with the version that was read: of two who saw the same lease, one is refused.
  const put = (lease: Lease, signal?: AbortSignal, withinMs = timeoutMs) =>
    client.request<Lease>({
      method: 'PUT',
      path,
      body: lease,
      timeoutMs: withinMs,
      urgent: true,
      ...(signal ? { signal } : {}),
    });

  async function look(signal: AbortSignal): Promise<void> {
    const lease = await get(signal).catch((error) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
    greatest = Math.max(greatest, lease?.spec?.leaseTransitions ?? 0);
    if (observed.lease && lifeSign(lease) === lifeSign(observed.lease)) observed = { ...observed, lease };
    else observed = { lease, unchangedSince: timing.monotonic() };
  }

  /** One look and, when the lease is free, one attempt. Answers with the lease when it is ours. */
  async function campaign(signal: AbortSignal): Promise<{ lease: Lease; sentAt: number } | { waitMs: number }> {
    await look(signal);
    const sentAt = timing.monotonic();
    const decision = decideLease(observed, identity, sentAt, limits, nextToken(clock.now(), greatest));
    if (decision.do === 'wait') return { waitMs: decision.ms };
    if (decision.do === 'acquire') {
      return { lease: await put(leaseOf(decision.token, identity, decision.resourceVersion), signal), sentAt };
    }
    const body = leaseOf(decision.token, identity, undefined);
    return {
      lease: await client.request<Lease>({ method: 'POST', path: collection, body, signal, timeoutMs, urgent: true }),
      sentAt,
    };
  }

  async function reign(acquired: Lease, sentAt: number): Promise<void> {
    const token = acquired.spec?.leaseTransitions ?? 0;
    greatest = Math.max(greatest, token);
    const acquireTime = acquired.spec?.acquireTime ?? undefined;
    const over = new AbortController();
    let lease = acquired;
    let renewedAt = sentAt;
    let lost = false;
    const end = (reason: string) => {
      if (!over.signal.aborted) log.info('leadership ends', { lease: input.name, term: token, reason });
      over.abort(new Error(`leadership ended: ${reason}`));
    };
    const late = () => timing.monotonic() - renewedAt >= limits.deadlineMs;
    // A request that hangs must not hold up the end of the term.
    let cancel = () => {};
    const guard = () => {
      cancel();
      cancel = timing.after(Math.max(0, renewedAt + limits.deadlineMs - timing.monotonic()), () => {
        if (late()) end('the lease could not be renewed');
        else guard();
      });
    };
    const term: Term = {
      token,
      signal: over.signal,
      check() {
        if (late()) end('the lease could not be renewed');
        over.signal.throwIfAborted();
      },
      refused(seen) {
        greatest = Math.max(greatest, seen);
        end(`a store has seen term ${seen}`);
      },
    };
    const withinMs = () => renewalMs(renewedAt + limits.deadlineMs - timing.monotonic(), limits);
    async function renew(): Promise<void> {
      const at = timing.monotonic();
      try {
        const renewed = leaseOf(token, identity, lease.metadata.resourceVersion, acquireTime);
        lease = await put(renewed, over.signal, withinMs());
        renewedAt = at;
      } catch (error) {
        if (over.signal.aborted) return;
        if (isNotFound(error)) lost = true;
        else if (isConflict(error)) {
          // Our own renewal whose answer was lost, or a person's annotation, is no reason to go.
          const found = await get(over.signal, withinMs());
          if (stillOurs(found, identity, token)) lease = found;
          else lost = true;
        } else throw error;
        if (lost) end('the lease is not ours any more');
        else return renew();
      }
    }
    const stop = () => end('stopping');
    stopping.signal.addEventListener('abort', stop);
    if (stopping.signal.aborted) stop();
    current = term;
    guard();
    // Not named token: the log would blank it.
    log.info('leadership begins', { lease: input.name, term: token });
    const work = input.lead(term).then(
      () => end('the work of the term ended'),
      (error) => {
        if (!over.signal.aborted) log.error('the work of a term failed', { lease: input.name, term: token, error });
        end('the work of the term failed');
      },
    );
    let pauseMs = limits.everyMs;
    while (!over.signal.aborted) {
      await sleep(timing, pauseMs, over.signal);
      if (over.signal.aborted) break;
      pauseMs = limits.everyMs;
      await renew().catch((error) => {
        pauseMs = limits.everyMs / 4;
        log.warn('lease not renewed', { lease: input.name, error: String(error) });
      });
    }
    cancel();
    // No second term begins here before the first is through.
    await work;
    current = undefined;
    stopping.signal.removeEventListener('abort', stop);
    if (!lost && !late()) await giveBack(token);
  }

  async function giveBack(token: number): Promise<void> {
    try {
      // Read first: a renewal that was cut short may have been written.
      const found = await client.request<Lease>({ method: 'GET', path, timeoutMs, urgent: true });
      // With what a store has seen, so that the next one need not be refused to learn it.
      if (stillOurs(found, identity, token)) {
        await put(leaseOf(Math.max(token, greatest), '', found.metadata.resourceVersion));
      }
    } catch (error) {
      // The others wait for its end, as after a crash.
      log.info('lease not given back', { lease: input.name, error: String(error) });
    }
  }

  async function run(): Promise<void> {
    const { signal } = stopping;
    while (!signal.aborted) {
      let waitMs = limits.everyMs;
      try {
        const result = await campaign(signal);
        if ('lease' in result) await reign(result.lease, result.sentAt);
        else waitMs = result.waitMs;
      } catch (error) {
        if (!signal.aborted && !isConflict(error)) {
          log.warn('no look at the lease', { lease: input.name, error: String(error) });
        }
      }
      // Jitter: candidates that ask together would refuse each other together.
      await sleep(timing, waitMs * (0.8 + 0.2 * timing.random()), signal);
    }
  }

  return {
    start() {
      loop ??= run();
    },
    async stop() {
      stopping.abort(new Error('stopped'));
      await loop;
    },
    term: () => current,
  };
}
