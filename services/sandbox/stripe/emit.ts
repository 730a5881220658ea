import type Stripe from 'stripe';
import { stripeId } from './stripe-id.ts';
import { API_VERSION, type World } from './world.ts';

/** Stripe lists events for 30 days. https://docs.stripe.com/api/events */
const KEPT_SECONDS = 30 * 24 * 3600;

/**
 * Records an event with the object as it is now (stored objects are replaced, never changed, so a later change does not
 * show in it) and hands it to delivery. `previous` holds the former values of what changed, for `*.updated`.
 */
export function emit(world: World, type: Stripe.Event.Type, object: object, previous?: Record<string, unknown>): void {
  const created = world.clock.unix();
  const event = {
    id: stripeId('evt'),
    object: 'event',
    api_version: API_VERSION,
    created,
    data: { object: object, ...(previous ? { previous_attributes: previous } : {}) },
    livemode: false,
    pending_webhooks: 0,
    request: { ...world.cause },
    type,
  } as unknown as Stripe.Event;
  world.store.put('events', { id: event.id, event });
  world.onEvent(event.id);
}

/** Forgets events older than Stripe would list. */
export function pruneEvents(world: World): void {
  const oldest = world.clock.unix() - KEPT_SECONDS;
  for (const record of world.store.all('events')) {
    if (record.event.created >= oldest) continue;
    world.store.remove('events', record.id);
    world.store.remove('deliveries', record.id);
  }
}
