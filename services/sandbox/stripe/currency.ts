import { refuse } from './stripe-error.ts';

const ZERO_DECIMAL = 'bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf';
const THREE_DECIMAL = 'bhd jod kwd omr tnd';
const TWO_DECIMAL =
  'usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah uyu uzs wst xcd yer zar zmw';

const DECIMALS = new Map<string, number>([
  ...ZERO_DECIMAL.split(' ').map((code): [string, number] => [code, 0]),
  ...THREE_DECIMAL.split(' ').map((code): [string, number] => [code, 3]),
  ...TWO_DECIMAL.split(' ').map((code): [string, number] => [code, 2]),
]);

/** Least amounts in minor units. https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts */
const MINIMUM: Record<string, number> = {
  usd: 50,
  aed: 200,
  aud: 50,
  bgn: 100,
  brl: 50,
  cad: 50,
  chf: 50,
  czk: 1500,
  dkk: 250,
  eur: 50,
  gbp: 30,
  hkd: 400,
  huf: 17500,
  inr: 50,
  jpy: 50,
  mxn: 1000,
  myr: 200,
  nok: 300,
  nzd: 50,
  pln: 200,
  ron: 200,
  sek: 300,
  sgd: 50,
  thb: 1000,
};

/** Stripe's largest amount: eight digits. */
const MAXIMUM = 99_999_999;

/** The currency in lower case; throws Stripe's refusal for one it does not take. */
export function requireCurrency(code: string, param: string): string {
  const currency = code.toLowerCase();
  if (!DECIMALS.has(currency)) {
    throw refuse.invalid(
      `Invalid currency: ${currency}. Stripe currently supports these currencies: ${[...DECIMALS.keys()].sort().join(', ')}`,
      { param },
    );
  }
  return currency;
}

/** `$10.00 usd`, as Stripe's messages and the pages write an amount of minor units. */
export function money(amount: number, currency: string): string {
  const digits = DECIMALS.get(currency) ?? 2;
  const format = new Intl.NumberFormat('en-US', {
    style: 'currency',
    currency: currency.toUpperCase(),
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  return format.format(amount / 10 ** digits);
}

/** Refuses an amount that is under Stripe's least or over its largest charge. Zero is the caller's case. */
export function requireChargeable(amount: number, currency: string, what: string, param?: string): void {
  const least = MINIMUM[currency] ?? 1;
  if (amount < least) {
    throw refuse.invalid(`${what} must add up to at least ${money(least, currency)} ${currency}`, {
      code: 'amount_too_small',
      param,
    });
  }
  if (amount > MAXIMUM) {
    throw refuse.invalid(`${what} must be no more than ${money(MAXIMUM, currency)}`, {
      code: 'amount_too_large',
      param,
    });
  }
}
