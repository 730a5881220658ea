/** Decides, purely, where a received event goes: to a tenant, aside, or back for another look. */
import { backoffMs, MAX_ROUTE_ATTEMPTS } from './event.ts';
import type { EventHandler } from './handler.ts';
import { objectKey, type ProviderObject, type Route, type UnroutedRow } from './store/routing.ts';

/** The handlers by provider and type. */
export class HandlerTable {
  readonly #handlers = new Map<string, EventHandler>();

  /** @throws TypeError when two handlers claim one type: which of them ran would be chance */
  constructor(handlers: readonly EventHandler[]) {
    for (const handler of handlers) {
      const key = `${handler.provider} ${handler.type}`;
      if (this.#handlers.has(key)) throw new TypeError(`two handlers for ${key}`);
      this.#handlers.set(key, handler);
    }
  }

  get(provider: string, type: string): EventHandler | undefined {
    return this.#handlers.get(`${provider} ${type}`);
  }
}

/** What is known of a received event before its tenant is looked up. */
export type Received = {
  id: string;
  attempts: number;
  objects: ProviderObject[];
  /** Set when the payload decides by itself. */
  verdict?: { state: 'ignored' | 'unmatched' | 'dead'; error: string | null };
};

/** Printable ASCII: what providers' ids are made of. Anything else could spoil the statement for its neighbours. */
const OBJECT_ID = /^[\x21-\x7e]{1,255}$/;
/** An event is about one object and a few parents. */
const MAX_OBJECTS = 8;

/** Reads the object ids of an event. Never throws: one strange payload must not stop the routing of the others. */
export function observeReceived(row: UnroutedRow, table: HandlerTable): Received {
  const { id, attempts, provider, account } = row;
  const aside = (state: 'ignored' | 'unmatched' | 'dead', error: string | null): Received => ({
    id,
    attempts,
    objects: [],
    verdict: { state, error },
  });
  const handler = table.get(provider, row.type);
  if (!handler) return aside('ignored', null);
  let ids: readonly unknown[];
  try {
    const found: unknown = handler.objectIds(JSON.parse(row.raw.toString('utf8')));
    // A path through a payload of another shape than the handler expects ends in undefined rather than in a throw.
    ids = Array.isArray(found) ? found : [];
  } catch (error) {
    return aside('dead', `unreadable payload (${(error as Error).name})`);
  }
  const usable = ids.filter((objectId): objectId is string => typeof objectId === 'string' && OBJECT_ID.test(objectId));
  if (usable.length === 0) return aside('unmatched', 'the payload names no object');
  return { id, attempts, objects: usable.slice(0, MAX_OBJECTS).map((objectId) => ({ provider, account, objectId })) };
}

/** @param tenants by {@link objectKey}; @param random in [0, 1) */
export function decideRoute(event: Received, tenants: ReadonlyMap<string, string>, random: number): Route {
  const objectIds = event.objects.map((object) => object.objectId);
  const base = { id: event.id, tenantId: null, objectIds, attempts: 0, delayMs: 0, lastError: null };
  if (event.verdict) return { ...base, state: event.verdict.state, lastError: event.verdict.error };
  for (const object of event.objects) {
    const tenantId = tenants.get(objectKey(object));
    if (tenantId !== undefined) return { ...base, state: 'ready', tenantId };
  }
  const attempts = event.attempts + 1;
  const lastError = 'no tenant owns the object';
  if (attempts >= MAX_ROUTE_ATTEMPTS) return { ...base, state: 'unmatched', attempts, lastError };
  return { ...base, state: 'received', attempts, delayMs: backoffMs(attempts, random), lastError };
}
