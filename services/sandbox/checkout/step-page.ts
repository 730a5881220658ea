import { type Html, html } from '../html.ts';
import { layout } from '../pages/layout.ts';
import type { SessionRecord } from '../records.ts';
import { summary } from './checkout-page.ts';

type Step = 'three_d_secure' | 'klarna' | 'paypal';

const TITLES: Record<Step, string> = {
  three_d_secure: 'Your bank asks: is it you?',
  klarna: 'Klarna',
  paypal: 'PayPal',
};

const TEXTS: Record<Step, string> = {
  three_d_secure: 'This is the 3-D Secure step. Your bank would ask for a code or its app here.',
  klarna: 'You would log in to Klarna here. The money reaches the shop a little after you approve.',
  paypal: 'You would log in to PayPal here.',
};

const button = (decision: string, label: string, main = false): Html =>
  html`<button type="submit" name="decision" value="${decision}" ${main ? html`class="main"` : null}>${label}</button>`;

/** The page of the bank or of a redirect method, where the person approves or refuses. */
export function stepPage(record: SessionRecord, step: Step): string {
  return layout(
    TITLES[step],
    html`<div class="split">${summary(record)}<section class="panel">
<h1>${TITLES[step]}</h1><p>${TEXTS[step]}</p>
<form method="post" action="/c/pay/${record.id}/step"><div class="stack">
${button('approve', step === 'three_d_secure' ? 'Complete authentication' : 'Approve', true)}
${step === 'klarna' ? button('approve_fails_later', 'Approve, fails later') : null}
${button('refuse', step === 'three_d_secure' ? 'Fail authentication' : 'Cancel')}
</div></form></section></div>`,
  );
}

/** The 3-D Secure step of an intent that was confirmed through the API. */
export function intentStepPage(intentId: string, amount: string): string {
  return layout(
    TITLES.three_d_secure,
    html`<section class="panel"><h1>${TITLES.three_d_secure}</h1><p>${TEXTS.three_d_secure}</p><p class="total">${amount}</p>
<form method="post" action="/c/intent/${intentId}/step"><div class="stack">
${button('approve', 'Complete authentication', true)}${button('refuse', 'Fail authentication')}
</div></form></section>`,
  );
}
