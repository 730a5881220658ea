import type { Faults } from '../faults.ts';
import type { Delivery, DeliveryAttempt, EventRecord, SandboxLog } from '../records.ts';
import type { SandboxClock } from '../sandbox-clock.ts';
import type { Store } from '../store.ts';
import { eventOf, typeFits } from '../stripe/api/events.ts';
import { signatureHeader } from './signature.ts';
import { createWorkers } from './workers.ts';

/** Where events go. */
export type Target = { id: string; url: string; secrets: readonly string[]; types: readonly string[] };

export type DelivererInput = {
  store: Store;
  clock: SandboxClock;
  faults: Faults;
  log: SandboxLog;
  /** Asked for each delivery, because a secret rolls and a port may be known late. */
  targets(): Target[];
  /** Pauses before the second, third, ... attempt; the last one repeats. Real milliseconds. */
  retryDelaysMs: readonly number[];
  timeoutMs: number;
};

/**
 * Sends events until they are taken, as Stripe does. Stripe promises no order; here first attempts go out in order, so
 * that disorder is something a test asks for.
 */
export type Deliverer = {
  /** A new event: decides which endpoints get it, and starts. */
  announce(eventId: string): void;
  /** Sends an event once more, delivered or not. False when there is no such event. */
  resend(eventId: string): boolean;
  /** Takes up what an earlier run left undelivered. */
  resume(): void;
  /** Resolves when nothing is being sent or about to be; what waits for a retry or a `delay` counts. */
  idle(): Promise<void>;
  /** Forgets what waits (after a reset). */
  forget(): void;
  stop(): Promise<void>;
};

/** Stripe gives up after three days. */
const GIVE_UP_MS = 3 * 24 * 3600 * 1000;
/** A held-back event goes out after this even when no other follows. */
const REORDER_HOLD_MS = 1500;

export function createDeliverer(input: DelivererInput): Deliverer {
  const { store, clock, faults, log } = input;
  const workers = createWorkers(8);
  let held: { release(): void }[] = [];

  function announce(eventId: string): void {
    const record = store.get('events', eventId);
    if (!record) return;
    const { type } = record.event;
    const wanted = input.targets().filter((target) => target.types.some((pattern) => typeFits(pattern, type)));
    if (wanted.length === 0) return;
    const fault = faults.strike({ webhook: type });
    const state = fault?.kind === 'drop' ? 'dropped' : 'pending';
    const deliveries = wanted.map(({ id, url }): Delivery => ({ endpoint: id, url, state, attempts: [] }));
    store.put('events', { ...record, deliveries });
    if (fault) log.info('sandbox: a webhook misbehaves', { event_id: eventId, type, fault: fault.kind });
    if (state === 'dropped') return;
    for (const { endpoint } of deliveries) {
      const send = () => workers.runInOrder(() => attempt(eventId, endpoint));
      if (fault?.kind === 'reorder') {
        hold(send);
        continue;
      }
      const sendFirst = () => workers.runInOrder(() => attempt(eventId, endpoint).finally(releaseHeld));
      if (fault?.kind === 'delay') workers.later(fault.delay_ms, sendFirst);
      else sendFirst();
      if (fault?.kind === 'duplicate') send();
    }
  }

  /** Holds one delivery back until another event has been sent. */
  function hold(send: () => void): void {
    const entry = { release };
    const cancel = workers.later(REORDER_HOLD_MS, release);
    held.push(entry);
    function release(): void {
      cancel();
      held = held.filter((other) => other !== entry);
      send();
    }
  }

  function releaseHeld(): void {
    for (const entry of held) entry.release();
  }

  async function attempt(eventId: string, endpoint: string): Promise<void> {
    const record = store.get('events', eventId);
    const target = input.targets().find((candidate) => candidate.id === endpoint);
    if (!record || !target) return;
    const outcome = await post(record, target);
    // Cut off by our own stop, which says nothing about the endpoint: the next run sends it.
    if (workers.stopping.aborted && outcome.status === undefined) return;
    const taken = outcome.status !== undefined && outcome.status >= 200 && outcome.status < 300;
    // Read again: another attempt of this event may have ended meanwhile.
    const now = store.get('events', eventId);
    if (!now) return;
    const old = clock.realMs() - Date.parse(now.deliveries[0]?.attempts[0]?.at ?? outcome.at) > GIVE_UP_MS;
    store.put('events', {
      ...now,
      deliveries: now.deliveries.map((delivery) =>
        delivery.endpoint === endpoint
          ? {
              ...delivery,
              state: taken || delivery.state === 'delivered' ? 'delivered' : old ? 'failed' : 'pending',
              attempts: [...delivery.attempts, outcome].slice(-50),
            }
          : delivery,
      ),
    });
    if (taken || old) return;
    const tries = now.deliveries.find((delivery) => delivery.endpoint === endpoint)?.attempts.length ?? 0;
    const delay = input.retryDelaysMs[Math.min(tries, input.retryDelaysMs.length - 1)] ?? 60_000;
    workers.later(delay, () => workers.run(() => attemptIfPending(eventId, endpoint)));
  }

  async function attemptIfPending(eventId: string, endpoint: string): Promise<void> {
    const deliveries = store.get('events', eventId)?.deliveries ?? [];
    const waits = deliveries.some((delivery) => delivery.endpoint === endpoint && delivery.state === 'pending');
    if (waits) await attempt(eventId, endpoint);
  }

  async function post(record: EventRecord, target: Target): Promise<DeliveryAttempt> {
    const payload = JSON.stringify(eventOf(record), null, 2);
    const started = performance.now();
    const at = new Date(clock.realMs()).toISOString();
    const took = () => Math.round(performance.now() - started);
    try {
      const answer = await fetch(target.url, {
        method: 'POST',
        redirect: 'manual',
        headers: {
          'Content-Type': 'application/json; charset=utf-8',
          'User-Agent': 'Stripe/1.0 (+https://docs.stripe.com/webhooks)',
          'Stripe-Signature': signatureHeader(payload, target.secrets, Math.floor(clock.realMs() / 1000)),
        },
        body: payload,
        signal: AbortSignal.any([AbortSignal.timeout(input.timeoutMs), workers.stopping]),
      });
      await answer.body?.cancel();
      return { at, status: answer.status, ms: took() };
    } catch (error) {
      const cause = error instanceof Error && error.cause ? error.cause : error;
      return { at, error: (cause as NodeJS.ErrnoException).code ?? String(cause), ms: took() };
    }
  }

  return {
    announce,
    resend(eventId) {
      const record = store.get('events', eventId);
      if (!record) return false;
      if (record.deliveries.length === 0) {
        announce(eventId);
        return true;
      }
      store.put('events', {
        ...record,
        deliveries: record.deliveries.map((delivery) =>
          delivery.state === 'delivered' ? delivery : { ...delivery, state: 'pending' },
        ),
      });
      for (const { endpoint } of record.deliveries) workers.run(() => attempt(eventId, endpoint));
      return true;
    },
    resume() {
      for (const record of store.all('events')) {
        for (const { state, endpoint } of record.deliveries) {
          if (state === 'pending') workers.run(() => attemptIfPending(record.id, endpoint));
        }
      }
    },
    idle: () => workers.idle(),
    forget() {
      held = [];
      workers.forget();
    },
    stop: () => workers.stop(),
  };
}
