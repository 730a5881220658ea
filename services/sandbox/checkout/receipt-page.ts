import type Stripe from 'stripe';
import { html, shownTime } from '../html.ts';
import { layout } from '../pages/layout.ts';
import { money } from '../stripe/currency.ts';

/** What `receipt_url` of a charge shows. */
export function receiptPage(charge: Stripe.Charge): string {
  const card = charge.payment_method_details?.card;
  return layout(
    'Receipt',
    html`<section class="panel"><h1>Receipt</h1><p class="total">${money(charge.amount, charge.currency)}</p>
<dl class="facts"><dt>Charge</dt><dd><code>${charge.id}</code></dd>
<dt>Date</dt><dd>${shownTime(charge.created * 1000)}</dd>
<dt>Status</dt><dd>${charge.refunded ? 'refunded' : charge.status}</dd>
<dt>Paid with</dt><dd>${card ? `${card.brand} ending in ${card.last4}` : charge.payment_method_details?.type}</dd>
${charge.amount_refunded > 0 ? html`<dt>Refunded</dt><dd>${money(charge.amount_refunded, charge.currency)}</dd>` : null}
</dl></section>`,
  );
}
