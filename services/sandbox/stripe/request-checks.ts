import { timingSafeEqual } from 'node:crypto';
import { refuse, StripeRefusal } from './stripe-error.ts';
import { API_VERSION } from './world.ts';

const unauthorized = (message: string) =>
  new StripeRefusal(
    401,
    { type: 'invalid_request_error', message },
    { headers: { 'WWW-Authenticate': 'Basic realm="Stripe"' } },
  );

/** Refuses a request without one of the account's keys, sent as a bearer token or as the user of basic authentication. */
export function requireKey(authorization: string | undefined, keys: readonly string[]): void {
  const [scheme = '', credentials = ''] = (authorization ?? '').split(' ');
  const sent =
    scheme.toLowerCase() === 'basic'
      ? (Buffer.from(credentials, 'base64').toString('utf8').split(':')[0] ?? '')
      : scheme.toLowerCase() === 'bearer'
        ? credentials
        : '';
  if (sent === '') {
    throw unauthorized(
      "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://docs.stripe.com/api#authentication for details.",
    );
  }
  if (keys.some((key) => equal(key, sent))) return;
  throw unauthorized(`Invalid API Key provided: ${sent.slice(0, 8)}${'*'.repeat(12)}${sent.slice(-4)}`);
}

function equal(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

/** The version to answer in: the pinned one unless the request names it; any other would be a lie. */
export function requireVersion(version: string | undefined): string {
  if (version === undefined || version === API_VERSION) return API_VERSION;
  throw refuse.invalid(
    `Invalid Stripe API version: ${version}. The sandbox speaks ${API_VERSION}, the version of the pinned stripe-node.`,
  );
}
