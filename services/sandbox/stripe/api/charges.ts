import type Stripe from 'stripe';
import { emit } from '../emit.ts';
import { inRange, listPage } from '../list.ts';
import { cosmetic, expand, type Fields, mergeMetadata, metadata, page, text, unsupported } from '../params.ts';
import { refuse } from '../stripe-error.ts';
import type { World } from '../world.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

const PATH = '/v1/charges';

const listFields: Fields<Stripe.ChargeListParams> = {
  ...page,
  created: { type: 'range' },
  customer: text(),
  payment_intent: text(),
  transfer_group: unsupported,
};
const updateFields: Fields<Stripe.ChargeUpdateParams> = {
  customer: unsupported,
  description: text({ max: 1000 }),
  expand,
  fraud_details: cosmetic,
  metadata,
  receipt_email: text({ max: 512 }),
  shipping: cosmetic,
  transfer_group: cosmetic,
};

function requireCharge(world: World, id: string): Stripe.Charge {
  const charge = world.store.get('charges', id);
  if (!charge) throw refuse.noSuch('charge', id, 'id');
  return charge;
}

/** https://docs.stripe.com/api/charges. Charges are made by intents only. */
export const charges: Endpoint[] = [
  endpoint('GET', PATH, listFields, (world, params) => {
    const wanted = world.store
      .all('charges')
      .filter(
        (charge) =>
          inRange(charge.created, params.created) &&
          (!params.payment_intent || charge.payment_intent === params.payment_intent) &&
          (!params.customer || charge.customer === params.customer),
      );
    return listPage(wanted, params, { url: PATH, kind: 'charge' });
  }),
  endpoint('GET', `${PATH}/:id`, { expand }, (world, _params, id) => requireCharge(world, id)),
  endpoint('POST', `${PATH}/:id`, updateFields, (world, params, id) => {
    const charge = requireCharge(world, id);
    const changed = world.store.put('charges', {
      ...charge,
      description: params.description ?? charge.description,
      receipt_email: params.receipt_email ?? charge.receipt_email,
      metadata: mergeMetadata(charge.metadata, params.metadata),
    });
    emit(world, 'charge.updated', changed);
    return changed;
  }),
];

/** `refunds` of a charge, for `expand`. */
export function refundsOf(world: World, id: string): object {
  const refunds = world.store.all('refunds').map((record) => record.refund);
  return listPage(
    refunds.filter((refund) => refund.charge === id),
    {},
    { url: `${PATH}/${id}/refunds`, kind: 'refund' },
  );
}
