import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  addMoney,
  CURRENCIES,
  currencyExponent,
  formatMoney,
  money,
  timesMoney,
} from '../../../services/domain/sales/money.ts';
import { refusal } from '../../support/refusals.ts';

describe('money', () => {
  it('knows the exponents of ISO 4217 that are not two', () => {
    const not2 = CURRENCIES.filter((code) => currencyExponent(code) !== 2);
    const zero = not2.filter((code) => currencyExponent(code) === 0);
    const three = not2.filter((code) => currencyExponent(code) === 3);
    assert.equal(zero.join(' '), 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF');
    assert.equal(three.join(' '), 'BHD IQD JOD KWD LYD OMR TND');
    assert.equal(new Set(CURRENCIES).size, CURRENCIES.length);
    assert.ok(CURRENCIES.every((code) => /^[A-Z]{3}$/.test(code)));
  });

  for (const amount of [-1, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY]) {
    it(`refuses ${amount} minor units`, () => {
      assert.throws(() => money(amount, 'USD'), refusal('invalid_money'));
    });
  }

  it('refuses an unknown or lower-case currency', () => {
    for (const code of ['XXX', 'usd', 'XAU', '', 'EURO']) assert.throws(() => money(1, code), refusal('invalid_money'));
  });

  it('never adds two currencies', () => {
    assert.throws(() => addMoney(money(1, 'USD'), money(1, 'EUR')), refusal('mixed_currencies'));
  });

  it('is exact or refuses', () => {
    fc.assert(
      fc.property(fc.nat(Number.MAX_SAFE_INTEGER), fc.integer({ min: 1, max: 1_000_000 }), (amount, quantity) => {
        const exact = BigInt(amount) * BigInt(quantity);
        try {
          assert.equal(BigInt(timesMoney({ amount, currency: 'USD' }, quantity).amount), exact);
        } catch (error) {
          refusal('amount_too_large')(error);
          assert.ok(exact > BigInt(Number.MAX_SAFE_INTEGER));
        }
      }),
    );
  });

  it('is written by the exponent of its currency', () => {
    assert.equal(formatMoney(money(4900, 'USD')), '49.00 USD');
    assert.equal(formatMoney(money(5, 'USD')), '0.05 USD');
    assert.equal(formatMoney(money(500, 'JPY')), '500 JPY');
    assert.equal(formatMoney(money(5, 'KWD')), '0.005 KWD');
    assert.equal(formatMoney(money(0, 'JPY')), '0 JPY');
  });
});
