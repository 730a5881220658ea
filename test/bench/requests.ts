import { createHmac, randomBytes } from 'node:crypto';

export const SECRET = 'whsec_bench_secret';
export const PATH = '/api/billing/stripe/webhook';

/** A body of the size and shape of Stripe's checkout.session.completed, about 3 KB. */
function body(id: string): string {
  const random = randomBytes(12).toString('hex');
  return JSON.stringify({
    id,
    object: 'event',
    api_version: '2026-01-28.endive',
    created: 1_770_000_000,
    data: {
      object: {
        id: `cs_live_${random}`,
        object: 'checkout.session',
        amount_subtotal: 4900,
        amount_total: 4900,
        client_reference_id: `ord_${random}`,
        currency: 'usd',
        customer_details: {
          address: { city: 'Phnom Penh', country: 'KH', line1: '12 Street 240', line2: null, postal_code: '12207' },
          email: `student-${random}@example.com`,
          name: 'A Student of Khmer',
          phone: null,
          tax_exempt: 'none',
        },
        metadata: { order_id: `ord_${random}`, attempt_id: `att_${randomBytes(12).toString('hex')}` },
        payment_intent: `pi_${randomBytes(12).toString('hex')}`,
        payment_method_options: { card: { request_three_d_secure: 'automatic' } },
        payment_status: 'paid',
        status: 'complete',
        success_url: `https://school.example.com/checkout/return?session=${randomBytes(24).toString('hex')}`,
        ...Object.fromEntries(
          Array.from({ length: 60 }, (_, i) => [`field_of_the_session_${i}`, i % 3 ? null : `v${i}`]),
        ),
      },
    },
    livemode: false,
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    type: 'checkout.session.completed',
  });
}

/** One event's body, for the inserts that go past HTTP. */
export const sampleBody = (): Buffer => Buffer.from(body('evt_sample'));

/** Whole HTTP requests, made before the clock runs: the generator shares two cores with what it measures. */
export function buildRequests(prefix: string, count: number): Buffer[] {
  const at = Math.floor(Date.now() / 1_000);
  return Array.from({ length: count }, (_, i) => {
    // Random ids, as Stripe's: sequential ones would be kind to the unique index.
    const text = body(`evt_${prefix}_${randomBytes(9).toString('base64url')}${i}`);
    const signature = createHmac('sha256', SECRET).update(`${at}.${text}`).digest('hex');
    return Buffer.from(
      `POST ${PATH} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nStripe-Signature: t=${at},v1=${signature}\r\n` +
        `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
  });
}
