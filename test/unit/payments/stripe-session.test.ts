import assert from 'node:assert/strict';
import type Stripe from 'stripe';
import { observe } from '../../../services/domain/payments/stripe-session.ts';

const session = (intent: object) =>
  ({
    ...{ id: 'cs_1', status: 'complete', payment_status: 'paid', amount_total: 4900, currency: 'usd', livemode: false },
    ...{
      metadata: { order_id: 'ord_1', attempt_id: 'att_1' },
      url: null,
      client_secret: null,
      expires_at: 1,
      customer: null,
    },
    payment_intent: { id: 'pi_1', status: 'succeeded', amount_received: 4900, currency: 'usd', ...intent },
  }) as unknown as Stripe.Checkout.Session;

describe('a session of Stripe', () => {
  it('is in the currency of the money that came, not of the page that asked for it', () => {
    assert.equal(observe(session({}), '').currency, 'USD');
    // 4900 JPY is a third of 49.00 USD, and the same integer.
    const seen = observe(session({ currency: 'jpy' }), '');
    assert.equal(seen.currency, 'JPY');
  });

  it('says what was received, not what was asked for', () => {
    assert.equal(observe(session({ amount_received: 4800 }), '').captured, 4800);
  });
});
