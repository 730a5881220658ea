import { currencyExponent, type Money } from '#domain/sales/index.ts';
import { fail } from '#platform/errors/index.ts';

/**
 * Where Stripe's minor unit is not ISO 4217's (https://docs.stripe.com/currencies, "Zero-decimal currencies" and
 * "Special cases"): ISK is written with two decimals that must be 00, MGA without any.
 */
const STRIPE_EXPONENT: Readonly<Record<string, number>> = { ISK: 2, MGA: 0 };

/**
 * The same page lists UGX as zero-decimal and asks for two decimals in its special cases. Between charging a hundredth
 * and charging a hundredfold there is no safe guess.
 */
const CONTRADICTED: ReadonlySet<string> = new Set(['UGX']);

/** "The last digit must be 0" for three-decimal currencies. */
const THREE_DECIMALS_STEP = 10;

function exponents(currency: string): { iso: number; stripe: number } | undefined {
  const iso = currencyExponent(currency);
  if (iso === undefined || iso > 3 || CONTRADICTED.has(currency)) return undefined;
  return { iso, stripe: STRIPE_EXPONENT[currency] ?? iso };
}

/**
 * An amount of ours in Stripe's minor units and lower-case currency.
 * @throws KlarError unprocessable `amount_not_payable` for what Stripe's units cannot express exactly
 */
export function toStripe({ amount, currency }: Money): Money {
  const units = exponents(currency);
  const step = units?.iso === 3 ? THREE_DECIMALS_STEP : 1;
  const factor = units === undefined ? Number.NaN : 10 ** (units.stripe - units.iso);
  const converted = factor < 1 ? amount / 10 ** ((units?.iso ?? 0) - (units?.stripe ?? 0)) : amount * factor;
  if (!Number.isSafeInteger(converted) || amount % step !== 0) {
    throw fail.unprocessable('amount_not_payable', `This amount of ${currency} cannot be paid by this provider.`);
  }
  return { amount: converted, currency: currency.toLowerCase() };
}

/** What Stripe says in our units; undefined where it does not fit them, which is a mismatch and never rounded away. */
export function fromStripe({ amount, currency }: Money): Money | undefined {
  const code = currency.toUpperCase();
  const units = exponents(code);
  if (units === undefined) return undefined;
  const { iso, stripe } = units;
  const converted = stripe > iso ? amount / 10 ** (stripe - iso) : amount * 10 ** (iso - stripe);
  return Number.isSafeInteger(converted) && converted >= 0 ? { amount: converted, currency: code } : undefined;
}
