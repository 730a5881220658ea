import type Stripe from 'stripe';
import { type Html, html, shownTime } from '../html.ts';
import { layout, messagePage } from '../pages/layout.ts';
import type { SessionRecord } from '../records.ts';
import { money } from '../stripe/currency.ts';
import { TEST_CARDS } from '../stripe/test-cards.ts';

/** Where the person goes after paying, with the session's id filled in; null where the shop wants no redirect. */
export function returnUrl(session: Stripe.Checkout.Session): string | null {
  if (session.redirect_on_completion === 'never') return null;
  const url = session.success_url ?? session.return_url ?? null;
  return url === null ? null : url.replaceAll('{CHECKOUT_SESSION_ID}', session.id);
}

/** The page of a session in its present state. */
export function checkoutPage(record: SessionRecord, intent: Stripe.PaymentIntent | undefined): string {
  const { session } = record;
  if (session.status === 'complete') return completePage(record);
  if (session.status === 'expired') {
    return messagePage(
      'This checkout has expired',
      html`<p>Nothing was charged. Go back to the shop and start the payment again.</p>${backLink(session)}`,
    );
  }
  return layout(
    'Checkout',
    html`<div class="split">${summary(record)}
<section class="panel" aria-labelledby="pay-title">
<h1 id="pay-title">${session.amount_total === 0 ? 'Complete your order' : 'Pay'}</h1>
${lastError(intent)}
<form method="post" action="/c/pay/${session.id}" autocomplete="off">
${email(session)}
${session.amount_total === 0 ? null : methods(session)}
<button class="main" type="submit">${payLabel(session)}</button>
${session.payment_method_types.includes('card') && session.amount_total !== 0 ? testCards() : null}
</form>
${backLink(session)}
</section></div>`,
  );
}

export function summary({ session, line_items, merchant }: SessionRecord): Html {
  const currency = session.currency ?? 'usd';
  return html`<section class="panel" aria-label="Order">
<p class="soft">${merchant}</p>
<p class="total">${money(session.amount_total ?? 0, currency)}</p>
<ul class="lines">${line_items.map(
    (line) =>
      html`<li><span>${line.description}${(line.quantity ?? 1) > 1 ? ` x ${line.quantity}` : ''}</span>
<span>${money(line.amount_total, currency)}</span></li>`,
  )}</ul>
<p class="small soft">Shown as <code>${session.ui_mode}</code>, open until ${shownTime(session.expires_at * 1000)}.</p>
</section>`;
}

function completePage({ session }: SessionRecord): string {
  const next = returnUrl(session);
  const paid = session.payment_status !== 'unpaid';
  return messagePage(
    paid ? 'Payment complete' : 'Payment under way',
    html`<p>${paid ? 'Thank you. The shop has been told.' : 'The provider will tell the shop when the money has arrived.'}</p>
${next ? html`<p><a href="${next}">Continue to the shop</a></p>` : null}`,
  );
}

function lastError(intent: Stripe.PaymentIntent | undefined): Html | null {
  const message = intent?.last_payment_error?.message;
  return message ? html`<p class="alert" role="alert">${message}</p>` : null;
}

function email(session: Stripe.Checkout.Session): Html {
  const known = session.customer_email;
  return html`<label for="email">Email</label>
<input id="email" name="email" type="email" autocomplete="email" ${known ? html`readonly` : null} value="${known ?? ''}">`;
}

const NAMES: Record<string, string> = { card: 'Card', klarna: 'Klarna (paid later)', paypal: 'PayPal' };

function methods(session: Stripe.Checkout.Session): Html {
  return html`<fieldset><legend>Payment method</legend>${session.payment_method_types.map(
    (type, index) =>
      html`<label class="choice"><input type="radio" name="method" value="${type}" ${
        index === 0 ? html`checked` : null
      }>${NAMES[type] ?? type}</label>`,
  )}</fieldset>
${session.payment_method_types.includes('card') ? cardFields() : null}`;
}

const cardFields = (): Html => html`<div class="card-only">
<label for="card_number">Card number</label>
<input id="card_number" name="card_number" type="text" inputmode="numeric" placeholder="4242 4242 4242 4242" maxlength="23">
<div class="pair"><div><label for="exp">Expiry</label>
<input id="exp" name="exp" type="text" inputmode="numeric" placeholder="12 / 34" maxlength="7"></div>
<div><label for="cvc">CVC</label><input id="cvc" name="cvc" type="text" inputmode="numeric" placeholder="123" maxlength="4"></div></div>
<label for="name">Name on card</label><input id="name" name="name" type="text" maxlength="100">
</div>`;

const testCards = (): Html => html`<details class="card-only"><summary>Pay with a test card</summary>
<ul class="cards">${TEST_CARDS.map(
  (card) => html`<li><button type="submit" name="test_card" value="${card.number}">A card that ${card.label}
<span class="mono">${card.number.replaceAll(/(\d{4})(?=\d)/g, '$1 ')}</span></button></li>`,
)}</ul></details>`;

const payLabel = (session: Stripe.Checkout.Session): string =>
  session.amount_total === 0 ? 'Complete order' : `Pay ${money(session.amount_total ?? 0, session.currency ?? 'usd')}`;

const backLink = (session: Stripe.Checkout.Session): Html | null =>
  session.cancel_url
    ? html`<p><a href="${session.cancel_url.replaceAll('{CHECKOUT_SESSION_ID}', session.id)}">Cancel and go back to the shop</a></p>`
    : null;
