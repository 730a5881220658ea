/** What a module writes to handle a provider's event. */
import type { TenantTx } from '#platform/db/index.ts';

/** One stored event as a handler sees it. */
export type InboxEvent = {
  /** Our id of the stored event (`evt_...`); not the provider's. */
  readonly id: string;
  readonly provider: string;
  /** The provider's connected account; '' is the platform's own. */
  readonly account: string;
  /** The provider's event id. */
  readonly eventId: string;
  readonly type: string;
  readonly livemode: boolean | null;
  readonly receivedAt: Date;
  /** The tenant that owns the event's object, from `routing.provider_objects`, never from provider metadata. */
  readonly tenantId: string;
  /** 1 on the first attempt of this run. */
  readonly attempt: number;
  /** The event as the provider sent it, parsed. Old by definition: fetch the object, do not trust this copy. */
  readonly payload: unknown;
};

/** What `prepare` works with: no transaction is open while it runs. */
export type PrepareContext = {
  /** Aborted when the time of this attempt is over or the worker stops: pass it to every provider call. */
  readonly signal: AbortSignal;
  /** A short transaction in the event's tenant, to read the version of our row before the provider is asked. */
  withTenantTx<T>(fn: (tx: TenantTx) => Promise<T>): Promise<T>;
};

/**
 * `done`: the effect is written (or was there already).
 * `refetch`: our row is not the version that `prepare` read; nothing may be written, the attempt starts again at `prepare`.
 */
export type ApplyOutcome = 'done' | 'refetch';

/**
 * Handler of one event type of one provider.
 *
 * Execution is at least once: `apply` must leave one effect however often it runs. It runs in one transaction with
 * the event's `done`, fenced by the worker's lease.
 */
export type EventHandler<P = unknown> = {
  readonly provider: string;
  readonly type: string;
  /** Ids of the provider's objects that tell the tenant, best first. Pure; `[]` when the payload has none. */
  objectIds(payload: unknown): readonly string[];
  /** Reads our row's version, then fetches the provider's object. Never inside a transaction. */
  prepare(event: InboxEvent, context: PrepareContext): Promise<P>;
  /** Effect, follow-ups and audit. Throwing rolls everything back and counts a failed attempt. */
  apply(tx: TenantTx, event: InboxEvent, prepared: P): Promise<ApplyOutcome>;
};

/** Lets a module write typed handlers and still hand out one list. */
export function eventHandler<P>(handler: EventHandler<P>): EventHandler {
  return handler as EventHandler;
}

/** A failure that no later attempt can mend (a payload that contradicts itself): the event is dead at once. */
export class PermanentEventError extends Error {
  override readonly name = 'PermanentEventError';
}
