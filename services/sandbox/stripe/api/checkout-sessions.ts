import type { SessionRecord } from '../../records.ts';
import { inRange, listPage } from '../list.ts';
import { mergeMetadata, page } from '../params.ts';
import { createSession } from '../session-create.ts';
import { expireSession } from '../session-expiry.ts';
import {
  expireFields,
  retrieveFields,
  sessionCreateFields,
  sessionListFields,
  sessionUpdateFields,
} from '../session-params.ts';
import { refuse } from '../stripe-error.ts';
import type { World } from '../world.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

const PATH = '/v1/checkout/sessions';

function requireSession(world: World, id: string): SessionRecord {
  const record = world.store.get('sessions', id);
  if (!record) throw refuse.noSuch('checkout.session', id, 'session');
  return record;
}

/** https://docs.stripe.com/api/checkout/sessions */
export const checkoutSessions: Endpoint[] = [
  endpoint('POST', PATH, sessionCreateFields, (world, params) => createSession(world, params).session),
  endpoint('GET', PATH, sessionListFields, (world, params) => {
    const sessions = world.store.all('sessions').map((record) => record.session);
    const wanted = sessions.filter(
      (session) =>
        inRange(session.created, params.created) &&
        (!params.status || session.status === params.status) &&
        (!params.customer || session.customer === params.customer) &&
        (!params.payment_intent || session.payment_intent === params.payment_intent) &&
        (!params.customer_details || session.customer_details?.email === params.customer_details.email),
    );
    return listPage(wanted, params, { url: PATH, kind: 'checkout.session' });
  }),
  endpoint('GET', `${PATH}/:id`, retrieveFields, (world, _params, id) => requireSession(world, id).session),
  endpoint('POST', `${PATH}/:id`, sessionUpdateFields, (world, params, id) => {
    const record = requireSession(world, id);
    const metadata = mergeMetadata(record.session.metadata ?? {}, params.metadata);
    return world.store.put('sessions', { ...record, session: { ...record.session, metadata } }).session;
  }),
  endpoint('POST', `${PATH}/:id/expire`, expireFields, (world, _params, id) => {
    const record = requireSession(world, id);
    if (record.session.status !== 'open') {
      throw refuse.conflict(
        `Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of \`${record.session.status}\`.`,
        { param: 'session' },
      );
    }
    return expireSession(world, record).session;
  }),
  endpoint('GET', `${PATH}/:id/line_items`, page, (world, params, id) =>
    // Lines are listed in their own order, not the newest first.
    listPage([...requireSession(world, id).line_items].reverse(), params as object, {
      url: `${PATH}/${id}/line_items`,
      kind: 'item',
    }),
  ),
];

/** `line_items` of a session, for `expand`. */
export function lineItemsOf(world: World, id: string): object | undefined {
  const record = world.store.get('sessions', id);
  if (!record) return undefined;
  return listPage([...record.line_items].reverse(), {}, { url: `${PATH}/${id}/line_items`, kind: 'item' });
}
