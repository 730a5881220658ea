import { fail } from '#platform/errors/index.ts';

/** An amount of money: integer minor units (cents, yen) of an ISO 4217 currency in upper case. */
export interface Money {
  readonly amount: number;
  readonly currency: string;
}

/**
 * Minor-unit exponents by ISO 4217:2015 with its amendments up to 180 (active national currencies; funds and metals are
 * not for sale). What a provider expects can differ, and is the provider's own table.
 */
const BY_EXPONENT: Record<number, string> = {
  0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF',
  2:
    'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP ' +
    'CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES ' +
    'KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK ' +
    'NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB ' +
    'TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG',
  3: 'BHD IQD JOD KWD LYD OMR TND',
};

const EXPONENTS: ReadonlyMap<string, number> = new Map(
  Object.entries(BY_EXPONENT).flatMap(([exponent, codes]) => codes.split(' ').map((code) => [code, Number(exponent)])),
);

/** Every currency that can be priced in, sorted. */
export const CURRENCIES: readonly string[] = [...EXPONENTS.keys()].sort();

/** @returns how many decimals the minor unit stands for: 2 for USD, 0 for JPY, 3 for KWD; undefined for an unknown code. */
export function currencyExponent(currency: string): number | undefined {
  return EXPONENTS.get(currency);
}

/** @throws KlarError invalid `invalid_money` when the amount is not a safe integer >= 0 or the currency is unknown */
export function money(amount: number, currency: string): Money {
  if (!Number.isSafeInteger(amount) || amount < 0) {
    throw fail.invalid('invalid_money', 'An amount is a whole number of minor units, from 0 to 2^53-1.');
  }
  if (!EXPONENTS.has(currency)) {
    throw fail.invalid('invalid_money', 'The currency is not an ISO 4217 code of a currency in use.');
  }
  return { amount, currency };
}

/** @throws KlarError unprocessable `mixed_currencies`, `amount_too_large` */
export function addMoney(a: Money, b: Money): Money {
  if (a.currency !== b.currency) {
    throw fail.unprocessable('mixed_currencies', 'All lines of an order must be priced in one currency.');
  }
  return { amount: safe(a.amount + b.amount), currency: a.currency };
}

/** @throws KlarError unprocessable `amount_too_large` */
export function timesMoney(unit: Money, quantity: number): Money {
  return { amount: safe(unit.amount * quantity), currency: unit.currency };
}

/** Decimal text for people and mails, by the currency's own exponent: `49.00 USD`, `500 JPY`. */
export function formatMoney({ amount, currency }: Money): string {
  const exponent = EXPONENTS.get(currency) ?? 2;
  const digits = String(amount).padStart(exponent + 1, '0');
  const whole = digits.slice(0, digits.length - exponent);
  return exponent === 0 ? `${whole} ${currency}` : `${whole}.${digits.slice(-exponent)} ${currency}`;
}

// A product above 2^53 has already lost its last digits: it must be refused, never rounded.
function safe(amount: number): number {
  if (!Number.isSafeInteger(amount)) {
    throw fail.unprocessable('amount_too_large', 'The total is larger than an order can be.');
  }
  return amount;
}
