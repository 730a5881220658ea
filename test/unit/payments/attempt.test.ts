import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type AttemptView, decide, differences } from '../../../services/domain/payments/attempt.ts';
import type { Observation } from '../../../services/domain/payments/gateway.ts';
import { ATTEMPT_STATES, isOpen } from '../../../services/domain/payments/state.ts';

const attempt = (overrides: Partial<AttemptView> = {}): AttemptView => ({
  id: 'att_1',
  order_id: 'ord_1',
  state: 'open',
  close_reason: null,
  account: '',
  livemode: false,
  amount: 4900,
  currency: 'USD',
  session_id: 'cs_1',
  captured: 0,
  refunded: 0,
  ...overrides,
});

const seen = (overrides: Partial<Observation> = {}): Observation => ({
  sessionId: 'cs_1',
  status: 'open',
  money: 'none',
  livemode: false,
  account: '',
  amount: 4900,
  currency: 'USD',
  orderId: 'ord_1',
  attemptId: 'att_1',
  captured: 0,
  refunded: 0,
  url: undefined,
  clientSecret: undefined,
  expiresAt: new Date(0),
  paymentIntentId: undefined,
  chargeId: undefined,
  customerId: undefined,
  methodType: undefined,
  methodBrand: undefined,
  methodLast4: undefined,
  receiptUrl: undefined,
  lastError: undefined,
  ...overrides,
});
const paid = (overrides: Partial<Observation> = {}) =>
  seen({ status: 'complete', money: 'paid', captured: 4900, ...overrides });
const stateAfter = (row: AttemptView, what: Observation) => {
  const decision = decide(row, what);
  return decision.kind === 'take' ? decision.state : decision;
};

describe('comparing a session with our attempt', () => {
  it('finds nothing to say about the right money', () => assert.deepEqual(differences(attempt(), paid()), []));

  const wrong: [string, Partial<Observation>][] = [
    ['session', { sessionId: 'cs_2' }],
    ['order', { orderId: 'ord_2' }],
    ['order', { orderId: undefined }],
    ['attempt', { attemptId: 'att_2' }],
    ['amount', { amount: 4899 }],
    ['amount', { amount: undefined }],
    ['captured', { captured: 100 }],
    ['currency', { currency: 'EUR' }],
    ['livemode', { livemode: true }],
    ['account', { account: 'acct_1' }],
  ];
  for (const [field, overrides] of wrong) {
    it(`holds paid money with ${JSON.stringify(overrides)}`, () => {
      assert.deepEqual(decide(attempt(), paid(overrides)), { kind: 'mismatch', fields: [field] });
    });
  }

  it('lets a wrong session go that ended without money', () => {
    assert.equal(stateAfter(attempt(), seen({ status: 'expired', amount: 1 })), 'expired');
  });
});

describe('what a session means for an attempt', () => {
  it('opens it', () => {
    assert.equal(stateAfter(attempt({ state: 'created', session_id: null }), seen()), 'open');
    assert.equal(stateAfter(attempt({ state: 'unknown', session_id: null }), seen()), 'open');
  });
  it('keeps it closing while the provider has not closed it', () => {
    assert.equal(stateAfter(attempt({ state: 'expiring', close_reason: 'replaced' }), seen()), 'expiring');
  });
  it('waits for a delayed method, and takes its end', () => {
    assert.equal(stateAfter(attempt(), seen({ status: 'complete', money: 'processing' })), 'pending');
    assert.equal(stateAfter(attempt({ state: 'pending' }), seen({ status: 'complete', money: 'failed' })), 'failed');
    assert.equal(stateAfter(attempt({ state: 'pending' }), paid()), 'paid');
  });
  it('tells a page that ran out from one that was replaced', () => {
    const expired = seen({ status: 'expired' });
    assert.equal(stateAfter(attempt(), expired), 'expired');
    assert.equal(stateAfter(attempt({ state: 'expiring', close_reason: 'canceled' }), expired), 'expired');
    for (const close_reason of ['replaced', 'paid_elsewhere'] as const) {
      assert.equal(stateAfter(attempt({ state: 'expiring', close_reason }), expired), 'void');
    }
  });
  it('leaves an attempt open whose card was declined', () => {
    assert.equal(stateAfter(attempt(), seen({ lastError: 'insufficient_funds' })), 'open');
  });
  it('takes money from every state: late money is money', () => {
    for (const state of ATTEMPT_STATES) assert.equal(stateAfter(attempt({ state }), paid()), 'paid');
  });
  it('reopens an ended attempt by nothing but money, and never lets captured money shrink', () => {
    const money = fc.constantFrom('none', 'processing', 'failed') as fc.Arbitrary<Observation['money']>;
    const status = fc.constantFrom('open', 'complete', 'expired') as fc.Arbitrary<Observation['status']>;
    fc.assert(
      fc.property(fc.constantFrom(...ATTEMPT_STATES), status, money, (state, sessionStatus, phase) => {
        const row = attempt({ state, captured: state === 'paid' ? 4900 : 0 });
        const decision = decide(row, seen({ status: sessionStatus, money: phase }));
        assert.ok(decision.kind === 'take');
        if (!isOpen(state)) assert.equal(decision.state, state);
        assert.equal(decision.captured, row.captured);
      }),
    );
  });
  it('follows the refunded amount of paid money in both directions', () => {
    const row = attempt({ state: 'paid', captured: 4900, refunded: 900 });
    for (const refunded of [0, 900, 4900]) {
      const decision = decide(row, paid({ refunded }));
      assert.ok(decision.kind === 'take' && decision.refunded === refunded && decision.state === 'paid');
    }
  });
});
