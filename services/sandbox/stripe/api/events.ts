import type Stripe from 'stripe';
import type { Delivery, EventRecord } from '../../records.ts';
import type { Store } from '../../store.ts';
import { inRange, listPage } from '../list.ts';
import { expand, type Fields, flag, page, text } from '../params.ts';
import { refuse } from '../stripe-error.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

const PATH = '/v1/events';

const listFields: Fields<Stripe.EventListParams> = {
  ...page,
  created: { type: 'range' },
  delivery_success: flag,
  type: text(),
  types: { type: 'list', of: text(), max: 20 },
};

/** The event as the API shows it: `pending_webhooks` counts the endpoints that have not taken it yet. */
export function eventOf(store: Store, record: EventRecord): Stripe.Event {
  const pending = deliveriesOf(store, record.id).filter((delivery) => delivery.state !== 'delivered').length;
  return { ...record.event, pending_webhooks: pending };
}

/** Where an event went, or is to go. */
export const deliveriesOf = (store: Store, id: string): Delivery[] => store.get('deliveries', id)?.deliveries ?? [];

/** Whether a type fits `charge.refunded`, `charge.*` or `*`. */
export function typeFits(pattern: string, type: string): boolean {
  return pattern === '*' || pattern === type || (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1)));
}

/** https://docs.stripe.com/api/events */
export const events: Endpoint[] = [
  endpoint('GET', PATH, listFields, (world, params) => {
    if (params.type && params.types) {
      throw refuse.invalid('You may only specify one of these parameters: type, types.', {
        code: 'parameters_exclusive',
      });
    }
    const wanted = world.store
      .all('events')
      .filter(
        ({ id, event }) =>
          inRange(event.created, params.created) &&
          (!params.type || typeFits(params.type, event.type)) &&
          (!params.types || params.types.includes(event.type)) &&
          (params.delivery_success === undefined ||
            params.delivery_success ===
              deliveriesOf(world.store, id).every((delivery) => delivery.state === 'delivered')),
      );
    const shown = wanted.map((record) => eventOf(world.store, record));
    return listPage(shown, params, { url: PATH, kind: 'event' });
  }),
  endpoint('GET', `${PATH}/:id`, { expand }, (world, _params, id) => {
    const record = world.store.get('events', id);
    if (!record) throw refuse.noSuch('event', id, 'id');
    return eventOf(world.store, record);
  }),
];
