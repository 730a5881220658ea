import assert from 'node:assert/strict';
import fc from 'fast-check';
import { fromStripe, toStripe } from '../../../services/domain/payments/stripe-money.ts';
import { CURRENCIES, currencyExponent } from '../../../services/domain/sales/money.ts';
import { refusal } from '../../support/refusals.ts';

describe("amounts in Stripe's units", () => {
  const cases: [number, string, number][] = [
    [4900, 'USD', 4900],
    [500, 'JPY', 500],
    [5120, 'KWD', 5120],
    [5, 'ISK', 500],
    [500, 'MGA', 5],
    [5000, 'KHR', 5000],
  ];
  for (const [amount, currency, stripe] of cases) {
    it(`writes ${amount} ${currency} as ${stripe}`, () => {
      assert.deepEqual(toStripe({ amount, currency }), { amount: stripe, currency: currency.toLowerCase() });
      assert.deepEqual(fromStripe({ amount: stripe, currency: currency.toLowerCase() }), { amount, currency });
    });
  }

  it('refuses what they cannot express', () => {
    for (const [amount, currency] of [
      [5124, 'KWD'],
      [550, 'MGA'],
      [100, 'UGX'],
      [2 ** 52, 'ISK'],
      [100, 'XXX'],
    ] as const) {
      assert.throws(() => toStripe({ amount, currency }), refusal('amount_not_payable'));
    }
  });

  it('reads nothing it would have to round', () => {
    assert.equal(fromStripe({ amount: 550, currency: 'isk' }), undefined);
    assert.equal(fromStripe({ amount: 1, currency: 'ugx' }), undefined);
    assert.equal(fromStripe({ amount: 1, currency: 'zzz' }), undefined);
    assert.equal(fromStripe({ amount: -1, currency: 'usd' }), undefined);
  });

  it('come back unchanged in every currency, or were refused', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CURRENCIES), fc.nat(99_999_999), (currency, amount) => {
        try {
          assert.deepEqual(fromStripe(toStripe({ amount, currency })), { amount, currency });
        } catch (error) {
          refusal('amount_not_payable')(error);
          assert.ok(currency === 'UGX' || currency === 'MGA' || currencyExponent(currency) === 3, currency);
        }
      }),
    );
  });
});
