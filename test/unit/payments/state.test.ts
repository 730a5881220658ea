import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  ATTEMPT_STATES,
  type AttemptFacts,
  isOpen,
  maySucceed,
  NO_AMOUNTS,
  ORDER_STATUS_OF,
  PAYMENT_STATES,
  PAYMENT_TRANSITIONS,
  paymentState,
  sumAmounts,
} from '../../../services/domain/payments/state.ts';
import { mayFollow } from '../../../services/domain/sales/order.ts';

const DUE = 1000;
const MONEY = ['paid', 'refunded', 'partially_refunded', 'disputed'];
const attempt = (state: AttemptFacts['state'], amounts: Partial<AttemptFacts> = {}): AttemptFacts => ({
  ...NO_AMOUNTS,
  ...amounts,
  state,
});
const paid = (amounts: Partial<AttemptFacts> = {}) => attempt('paid', { captured: DUE, ...amounts });

const factsOf = fc.record({
  state: fc.constantFrom(...ATTEMPT_STATES),
  captured: fc.constantFrom(0, 0, DUE),
  part: fc.record({ refunded: fc.nat(DUE), disputed: fc.nat(DUE), lost: fc.nat(DUE) }),
});
const attempts = fc
  .array(factsOf, { maxLength: 4 })
  .map((all) =>
    all.map(({ state, captured, part }) => (captured === 0 ? attempt(state) : attempt('paid', { captured, ...part }))),
  );

describe('payment state', () => {
  const table: [string, AttemptFacts[], string][] = [
    ['nothing tried', [], 'created'],
    ['provider not asked yet', [attempt('created')], 'created'],
    ['a page is open', [attempt('open')], 'pending'],
    ['the page is being closed', [attempt('expiring')], 'pending'],
    ['a delayed method', [attempt('pending')], 'pending'],
    ['no answer', [attempt('unknown')], 'unknown'],
    ['money under review', [attempt('held')], 'unknown'],
    ['declined for good', [attempt('failed')], 'failed'],
    ['ran out', [attempt('expired')], 'expired'],
    ['replaced', [attempt('void')], 'created'],
    ['failed, replaced page before', [attempt('failed'), attempt('void')], 'failed'],
    ['failed, tried again', [attempt('failed'), attempt('open')], 'pending'],
    ['paid', [paid()], 'paid'],
    ['paid after an earlier page ran out', [attempt('expired'), paid()], 'paid'],
    ['late money, while another page is open', [paid(), attempt('open')], 'paid'],
    ['partly refunded', [paid({ refunded: 1 })], 'partially_refunded'],
    ['fully refunded', [paid({ refunded: DUE })], 'refunded'],
    ['paid twice', [paid(), paid()], 'paid'],
    ['paid twice, one given back', [paid(), paid({ refunded: DUE })], 'paid'],
    ['paid twice, both given back', [paid({ refunded: DUE }), paid({ refunded: DUE })], 'refunded'],
    ['disputed', [paid({ disputed: DUE })], 'disputed'],
    ['partly refunded, then disputed', [paid({ refunded: 100, disputed: 900 })], 'disputed'],
    ['partly refunded, then disputed, then won', [paid({ refunded: 100 })], 'partially_refunded'],
    ['dispute lost', [paid({ lost: DUE })], 'disputed'],
    ['dispute lost on money that came twice', [paid(), paid({ lost: DUE })], 'paid'],
  ];
  for (const [name, facts, state] of table)
    it(`${name}: ${state}`, () => assert.equal(paymentState(DUE, facts), state));

  it('says money if and only if money came in', () => {
    fc.assert(
      fc.property(attempts, (facts) => {
        assert.equal(MONEY.includes(paymentState(DUE, facts)), sumAmounts(facts).captured > 0);
      }),
    );
  });

  it('does not depend on the order of the attempts once there is money', () => {
    fc.assert(
      fc.property(attempts, (facts) => {
        if (sumAmounts(facts).captured === 0) return;
        assert.equal(paymentState(DUE, facts), paymentState(DUE, facts.toReversed()));
      }),
    );
  });

  it('moves along the transition table whatever happens, while captured money only grows', () => {
    fc.assert(
      fc.property(attempts, attempts, (before, after) => {
        if (sumAmounts(after).captured < sumAmounts(before).captured) return;
        const [from, to] = [paymentState(DUE, before), paymentState(DUE, after)];
        assert.ok(maySucceed(from, to), `${from} -> ${to}`);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('payment transitions', () => {
  it('are listed for every state', () => {
    assert.deepEqual(Object.keys(PAYMENT_TRANSITIONS).sort(), [...PAYMENT_STATES].sort());
  });

  it('are exactly: every unpaid state to every state, every money state to every money state', () => {
    for (const from of PAYMENT_STATES) {
      for (const to of PAYMENT_STATES) {
        assert.equal(maySucceed(from, to), !MONEY.includes(from) || MONEY.includes(to), `${from} -> ${to}`);
      }
    }
  });

  it('are steps that the order can follow', () => {
    for (const from of PAYMENT_STATES) {
      for (const to of PAYMENT_STATES) {
        if (maySucceed(from, to)) assert.ok(mayFollow(ORDER_STATUS_OF[from], ORDER_STATUS_OF[to]), `${from} -> ${to}`);
      }
    }
  });
});

describe('attempt states', () => {
  it('that forbid another attempt are those whose money may still come', () => {
    assert.deepEqual(ATTEMPT_STATES.filter(isOpen), ['created', 'unknown', 'open', 'expiring', 'pending', 'held']);
  });
});
