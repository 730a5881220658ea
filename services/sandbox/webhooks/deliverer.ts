import type { Faults } from '../faults.ts';
import type { Delivery, DeliveryAttempt, EventRecord, SandboxLog } from '../records.ts';
import type { SandboxClock } from '../sandbox-clock.ts';
import type { Store } from '../store.ts';
import { deliveriesOf, eventOf, typeFits } from '../stripe/api/events.ts';
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
/** Attempts a delivery remembers; an endpoint that is away for a day would fill the file. */
const KEPT_ATTEMPTS = 20;
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
    const since = new Date(clock.realMs()).toISOString();
    const deliveries = wanted.map(({ id, url }): Delivery => ({ endpoint: id, url, since, state, attempts: [] }));
    store.put('deliveries', { id: eventId, deliveries });
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
    const delivery = change(eventId, endpoint, (before) => {
      const late = clock.realMs() - Date.parse(before.since) > GIVE_UP_MS;
      const state = taken || before.state === 'delivered' ? 'delivered' : late ? 'failed' : 'pending';
      return { ...before, state, attempts: [...before.attempts, outcome].slice(-KEPT_ATTEMPTS) };
    });
    if (taken || delivery?.state !== 'pending') return;
    const delay = input.retryDelaysMs[Math.min(delivery.attempts.length, input.retryDelaysMs.length) - 1] ?? 60_000;
    workers.later(delay, () => workers.run(() => attemptIfPending(eventId, endpoint)));
  }

  /** Changes one delivery as it is now: another attempt of the event may have ended meanwhile. */
  function change(eventId: string, endpoint: string, to: (before: Delivery) => Delivery): Delivery | undefined {
    const deliveries = deliveriesOf(store, eventId).map((one) => (one.endpoint === endpoint ? to(one) : one));
    // Forgotten by a reset while it was on its way.
    if (deliveries.length === 0) return undefined;
    store.put('deliveries', { id: eventId, deliveries });
    return deliveries.find((one) => one.endpoint === endpoint);
  }

  async function attemptIfPending(eventId: string, endpoint: string): Promise<void> {
    const waits = deliveriesOf(store, eventId).some((one) => one.endpoint === endpoint && one.state === 'pending');
    if (waits) await attempt(eventId, endpoint);
  }

  async function post(record: EventRecord, target: Target): Promise<DeliveryAttempt> {
    const payload = JSON.stringify(eventOf(store, record), null, 2);
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
      if (!store.get('events', eventId)) return false;
      const deliveries = deliveriesOf(store, eventId);
      if (deliveries.length === 0) announce(eventId);
      for (const { endpoint } of deliveries) {
        change(eventId, endpoint, (one) => (one.state === 'delivered' ? one : { ...one, state: 'pending' }));
        workers.runInOrder(() => attempt(eventId, endpoint));
      }
      return true;
    },
    resume() {
      for (const { id, deliveries } of store.all('deliveries')) {
        for (const { state, endpoint } of deliveries) {
          if (state === 'pending') workers.runInOrder(() => attemptIfPending(id, endpoint));
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
