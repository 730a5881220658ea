import { type Html, html, shownTime } from '../html.ts';
import { layout } from '../pages/layout.ts';
import type { EventRecord, SessionRecord } from '../records.ts';
import { deliveriesOf } from '../stripe/api/events.ts';
import { money } from '../stripe/currency.ts';
import { TEST_CARDS } from '../stripe/test-cards.ts';
import { ACCOUNT_ID, API_VERSION, type World } from '../stripe/world.ts';

/** Rows a table shows; the API has the rest. */
const SHOWN = 15;

/** What exists in the sandbox, newest first. */
export function homePage(
  world: World,
  facts: { smtpUrl: string; webhookUrl: string | undefined; faults: number },
): string {
  const sessions = world.store.all('sessions').reverse();
  const events = world.store.all('events').reverse();
  return layout(
    'Overview',
    html`<h1>Stand-ins for Stripe and mail</h1>
<dl class="facts panel"><dt>Account</dt><dd><code>${ACCOUNT_ID}</code>, API ${API_VERSION}</dd>
<dt>Webhooks go to</dt><dd><code>${facts.webhookUrl ?? 'nowhere'}</code></dd>
<dt>SMTP</dt><dd><code>${facts.smtpUrl}</code></dd>
<dt>Mail</dt><dd><a href="/mail">${world.store.all('mails').length} caught</a></dd>
<dt>Faults waiting</dt><dd>${facts.faults} (<a href="/sandbox/faults">JSON</a>)</dd>
<dt>Requests</dt><dd><a href="/sandbox/requests">JSON</a></dd>
<dt>Clock</dt><dd>${shownTime(world.clock.nowMs())}</dd></dl>
<h2>Checkout sessions</h2>${sessions.length === 0 ? nothing('None yet.') : sessionTable(sessions.slice(0, SHOWN))}
<h2>Events</h2>${events.length === 0 ? nothing('None yet.') : eventTable(world, events.slice(0, SHOWN * 2))}
<h2>Test cards</h2><div class="scroll"><table><tbody>${TEST_CARDS.map(
      (card) => html`<tr><td class="mono">${card.number}</td><td>A card that ${card.label}</td></tr>`,
    )}</tbody></table></div>`,
  );
}

const nothing = (text: string): Html => html`<p class="panel soft">${text}</p>`;

const sessionTable = (sessions: readonly SessionRecord[]): Html => html`<div class="scroll"><table>
<thead><tr><th scope="col">Session</th><th scope="col">State</th><th scope="col" class="num">Total</th><th scope="col">Created</th></tr></thead>
<tbody>${sessions.map(({ id, session }) => {
  const paid = session.payment_status === 'unpaid' ? 'wait' : 'good';
  return html`<tr><td><a class="mono" href="/c/pay/${id}">${id.slice(0, 24)}...</a></td>
<td><span class="badge ${session.status === 'complete' ? paid : 'soft'}">${session.status}, ${session.payment_status}</span></td>
<td class="num">${money(session.amount_total ?? 0, session.currency ?? 'usd')}</td>
<td>${shownTime(session.created * 1000)}</td></tr>`;
})}</tbody></table></div>`;

const eventTable = (world: World, events: readonly EventRecord[]): Html => html`<div class="scroll"><table>
<thead><tr><th scope="col">Event</th><th scope="col">Delivery</th><th scope="col">Attempts</th><th scope="col">Again</th></tr></thead>
<tbody>${events.map(({ id, event }) => {
  const deliveries = deliveriesOf(world.store, id);
  const state = deliveries[0]?.state ?? 'no endpoint';
  const last = deliveries[0]?.attempts.at(-1);
  return html`<tr><td>${event.type}<br><span class="mono soft">${id}</span></td>
<td><span class="badge ${state === 'delivered' ? 'good' : state === 'pending' ? 'wait' : 'bad'}">${state}</span></td>
<td>${deliveries[0]?.attempts.length ?? 0}${last ? `, last ${last.status ?? last.error}` : ''}</td>
<td><form method="post" action="/sandbox/events/${id}/resend"><button type="submit" aria-label="Send ${event.type} ${id} again">Resend</button></form></td></tr>`;
})}</tbody></table></div>`;
