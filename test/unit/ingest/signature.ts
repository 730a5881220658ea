import { createHmac } from 'node:crypto';

/** Signs as Stripe does: https://docs.stripe.com/webhooks#verify-manually */
export function stripeSignature(body: string | Buffer, secret: string, timestampS: number): string {
  const digest = createHmac('sha256', secret).update(`${timestampS}.`).update(body).digest('hex');
  return `t=${timestampS},v1=${digest}`;
}

/** An event of the least shape that Stripe sends. */
export function stripeEvent(id: string, more: Record<string, unknown> = {}): string {
  return JSON.stringify({
    id,
    object: 'event',
    type: 'checkout.session.completed',
    livemode: false,
    data: { object: { id: `cs_${id}`, object: 'checkout.session' } },
    ...more,
  });
}
