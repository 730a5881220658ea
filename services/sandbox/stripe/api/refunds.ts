import type Stripe from 'stripe';
import { emit } from '../emit.ts';
import { inRange, listPage } from '../list.ts';
import { expand, type Fields, integer, mergeMetadata, metadata, page, text, unsupported } from '../params.ts';
import { createRefund } from '../refund.ts';
import { refuse } from '../stripe-error.ts';
import type { World } from '../world.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

const PATH = '/v1/refunds';

const createFields: Fields<Stripe.RefundCreateParams> = {
  amount: integer({ min: 1 }),
  charge: text(),
  currency: unsupported,
  customer: unsupported,
  expand,
  instructions_email: text({ max: 800 }),
  metadata,
  origin: unsupported,
  payment_intent: text(),
  reason: text({ oneOf: ['duplicate', 'fraudulent', 'requested_by_customer'] }),
  refund_application_fee: unsupported,
  reverse_transfer: unsupported,
};
const listFields: Fields<Stripe.RefundListParams> = {
  ...page,
  charge: text(),
  created: { type: 'range' },
  payment_intent: text(),
};

/** The charge that a refund means: named itself, or the one that paid an intent. */
function chargeOf(world: World, params: Stripe.RefundCreateParams): Stripe.Charge {
  if (params.charge && params.payment_intent) {
    const charge = world.store.get('charges', params.charge);
    if (charge?.payment_intent !== params.payment_intent) {
      throw refuse.invalid('The charge does not belong to the payment intent.', { param: 'charge' });
    }
  }
  if (params.charge) {
    const charge = world.store.get('charges', params.charge);
    if (!charge) throw refuse.noSuch('charge', params.charge, 'charge', 400);
    return charge;
  }
  if (!params.payment_intent) {
    throw refuse.invalid('One of the following params should be provided for this request: payment_intent or charge.');
  }
  const intent = world.store.get('intents', params.payment_intent);
  if (!intent) throw refuse.noSuch('payment_intent', params.payment_intent, 'payment_intent', 400);
  const charge = world.store.get('charges', String(intent.latest_charge));
  if (intent.status !== 'succeeded' || !charge) {
    throw refuse.conflict(`This PaymentIntent (${intent.id}) does not have a successful charge to refund.`, {
      code: 'payment_intent_unexpected_state',
      param: 'payment_intent',
    });
  }
  return charge;
}

function requireRefund(world: World, id: string) {
  const record = world.store.get('refunds', id);
  if (!record) throw refuse.noSuch('refund', id, 'id');
  return record;
}

/** https://docs.stripe.com/api/refunds */
export const refunds: Endpoint[] = [
  endpoint('POST', PATH, createFields, (world, params) =>
    createRefund(world, {
      charge: chargeOf(world, params),
      amount: params.amount,
      reason: params.reason,
      metadata: mergeMetadata({}, params.metadata),
    }),
  ),
  endpoint('GET', PATH, listFields, (world, params) => {
    const wanted = world.store
      .all('refunds')
      .map((record) => record.refund)
      .filter(
        (refund) =>
          inRange(refund.created, params.created) &&
          (!params.charge || refund.charge === params.charge) &&
          (!params.payment_intent || refund.payment_intent === params.payment_intent),
      );
    return listPage(wanted, params, { url: PATH, kind: 'refund' });
  }),
  endpoint('GET', `${PATH}/:id`, { expand }, (world, _params, id) => requireRefund(world, id).refund),
  endpoint(
    'POST',
    `${PATH}/:id`,
    { expand, metadata } satisfies Fields<Stripe.RefundUpdateParams>,
    (world, params: Stripe.RefundUpdateParams, id) => {
      const record = requireRefund(world, id);
      const refund = {
        ...record.refund,
        metadata: mergeMetadata(record.refund.metadata ?? {}, params.metadata),
      };
      world.store.put('refunds', { ...record, refund });
      emit(world, 'refund.updated', refund);
      emit(world, 'charge.refund.updated', refund);
      return refund;
    },
  ),
];
