import type Stripe from 'stripe';
import { closeDispute } from '../dispute.ts';
import { inRange, listPage } from '../list.ts';
import { expand, type Fields, page, text, unsupported } from '../params.ts';
import { refuse } from '../stripe-error.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

const methodListFields: Fields<Stripe.PaymentMethodListParams> = {
  ...page,
  allow_redisplay: text(),
  customer: text(),
  customer_account: unsupported,
  type: text({ max: 40 }),
};
const disputeListFields: Fields<Stripe.DisputeListParams> = {
  ...page,
  charge: text(),
  created: { type: 'range' },
  payment_intent: text(),
};

/** https://docs.stripe.com/api/payment_methods: those the checkout page made, to be read. */
export const paymentMethods: Endpoint[] = [
  endpoint('GET', '/v1/payment_methods', methodListFields, (world, params) => {
    const wanted = world.store
      .all('methods')
      .filter(
        (method) =>
          (!params.customer || method.customer === params.customer) && (!params.type || method.type === params.type),
      );
    return listPage(wanted, params, { url: '/v1/payment_methods', kind: 'payment_method' });
  }),
  endpoint('GET', '/v1/payment_methods/:id', { expand }, (world, _params, id) => {
    const method = world.store.get('methods', id);
    if (!method) throw refuse.noSuch('PaymentMethod', id, 'payment_method');
    return method;
  }),
];

/** https://docs.stripe.com/api/disputes. Closing one accepts it as lost. */
export const disputes: Endpoint[] = [
  endpoint('GET', '/v1/disputes', disputeListFields, (world, params) => {
    const wanted = world.store
      .all('disputes')
      .filter(
        (dispute) =>
          inRange(dispute.created, params.created) &&
          (!params.charge || dispute.charge === params.charge) &&
          (!params.payment_intent || dispute.payment_intent === params.payment_intent),
      );
    return listPage(wanted, params, { url: '/v1/disputes', kind: 'dispute' });
  }),
  endpoint('GET', '/v1/disputes/:id', { expand }, (world, _params, id) => {
    const dispute = world.store.get('disputes', id);
    if (!dispute) throw refuse.noSuch('dispute', id, 'dispute');
    return dispute;
  }),
  endpoint('POST', '/v1/disputes/:id/close', { expand }, (world, _params, id) => {
    if (!world.store.get('disputes', id)) throw refuse.noSuch('dispute', id, 'dispute');
    const closed = closeDispute(world, id, 'lost');
    if (!closed) throw refuse.conflict('This dispute is already closed.', { param: 'dispute' });
    return closed;
  }),
];
