import assert from 'node:assert/strict';
import {
  checkLines,
  ITEM_KINDS,
  type ItemKind,
  isUnpaid,
  mayFollow,
  type Offer,
  ORDER_STATUSES,
  ORDER_TRANSITIONS,
  priceOrder,
} from '../../../services/domain/sales/order.ts';
import { plainLine, receiptLines } from '../../../services/domain/sales/receipt.ts';
import { refusal } from '../../support/refusals.ts';

const offer = (id: string, amount: number, currency = 'USD', kind: ItemKind = 'service'): Offer => ({
  kind,
  id,
  title: `Title of ${id}`,
  priceId: `prc_${id}`,
  unit: { amount, currency },
});

describe('order lines', () => {
  it('are of kinds that have a module', () => {
    for (const kind of ITEM_KINDS) {
      const check = () => checkLines([{ kind, id: 'x', quantity: 1 }]);
      if (kind === 'course' || kind === 'service') assert.equal(check().length, 1);
      else assert.throws(check, refusal('kind_not_available'));
    }
  });

  it('take a course once', () => {
    assert.throws(() => checkLines([{ kind: 'course', id: 'c', quantity: 2 }]), refusal('invalid_quantity'));
    const twice = [1, 2].map(() => ({ kind: 'course' as const, id: 'c', quantity: 1 }));
    assert.throws(() => checkLines(twice), refusal('duplicate_line'));
  });

  for (const quantity of [0, -1, 1.5, 101, 2 ** 60]) {
    it(`refuse a quantity of ${quantity}`, () => {
      assert.throws(() => checkLines([{ kind: 'service', id: 's', quantity }]), refusal('invalid_quantity'));
    });
  }

  it('need an id', () => {
    assert.throws(() => checkLines([{ kind: 'course', quantity: 1 }]), refusal('item_not_available'));
  });
});

describe('pricing an order', () => {
  it('copies prices and adds them up', () => {
    const lines = [
      { kind: 'service' as const, id: 'a', quantity: 3 },
      { kind: 'service' as const, id: 'b', quantity: 1 },
    ];
    const priced = priceOrder(lines, [offer('b', 1), offer('a', 250), offer('c', 9)]);
    assert.deepEqual(priced.total, { amount: 751, currency: 'USD' });
    assert.deepEqual(
      priced.lines.map((line) => [line.itemId, line.priceId, line.total.amount]),
      [
        ['a', 'prc_a', 750],
        ['b', 'prc_b', 1],
      ],
    );
  });

  it('does not mix currencies', () => {
    const lines = ['a', 'b'].map((id) => ({ kind: 'service' as const, id, quantity: 1 }));
    assert.throws(() => priceOrder(lines, [offer('a', 1), offer('b', 1, 'EUR')]), refusal('mixed_currencies'));
  });

  it('refuses what is not offered, of the same kind', () => {
    const lines = [{ kind: 'course' as const, id: 'a', quantity: 1 }];
    assert.throws(() => priceOrder(lines, [offer('a', 1)]), refusal('item_not_available'));
  });

  it('refuses a total that numbers cannot hold', () => {
    const lines = [{ kind: 'service' as const, id: 'a', quantity: 100 }];
    assert.throws(() => priceOrder(lines, [offer('a', 2 ** 50)]), refusal('amount_too_large'));
  });
});

describe('order statuses', () => {
  it('never become unpaid again', () => {
    for (const from of ORDER_STATUSES) {
      for (const to of ORDER_STATUSES) {
        if (!isUnpaid(from) && isUnpaid(to)) assert.ok(!mayFollow(from, to), `${from} -> ${to}`);
        // Late money: whatever an unpaid order has become, it can be paid.
        if (isUnpaid(from) && !isUnpaid(to)) assert.ok(mayFollow(from, to), `${from} -> ${to}`);
      }
    }
    assert.deepEqual(Object.keys(ORDER_TRANSITIONS).sort(), [...ORDER_STATUSES].sort());
  });
});

describe('receipt text', () => {
  it('holds no control character, whatever a title holds', () => {
    assert.equal(plainLine('a\u0000b\r\nBcc: x\u2028y\t '), 'a b Bcc: x y');
    const line = { title: 'One\nhour', quantity: 2, total: { amount: 5000, currency: 'USD' } };
    assert.equal(receiptLines([line]), '2 x One hour: 50.00 USD');
  });
});
