import { type Html, html, shownTime } from '../html.ts';
import { layout } from '../pages/layout.ts';
import type { MailRecord } from '../records.ts';

/** The mailbox, newest first. */
export function mailListPage(mails: readonly MailRecord[], to: string): string {
  return layout(
    'Mail',
    html`<h1>Mail</h1>
<form method="get" action="/mail" class="row" role="search"><label class="small" for="to">To</label>
<input id="to" name="to" type="search" value="${to}" placeholder="student@example.com"><button type="submit">Filter</button></form>
<p class="soft small">${mails.length} ${mails.length === 1 ? 'message' : 'messages'}${to ? ` to ${to}` : ''}. Nothing here has left this machine.</p>
${mails.length === 0 ? html`<div class="panel">No mail yet. It appears here as soon as the worker has sent it.</div>` : list(mails)}`,
  );
}

const list = (mails: readonly MailRecord[]): Html =>
  html`<ol class="mails panel">${mails.map(
    (mail) => html`<li><a href="/mail/${mail.id}"><strong>${mail.subject || '(no subject)'}</strong>
<br><span class="soft small">to ${mail.to.join(', ')}, ${shownTime(Date.parse(mail.at))}</span></a></li>`,
  )}</ol>`;

/** One mail: its links first, because that is what it is opened for, then the text and the HTML part. */
export function mailPage(mail: MailRecord): string {
  return layout(
    mail.subject || 'Mail',
    html`<p><a href="/mail">All mail</a></p><h1>${mail.subject || '(no subject)'}</h1>
<dl class="facts"><dt>From</dt><dd>${mail.from}</dd><dt>To</dt><dd>${mail.to.join(', ')}</dd><dt>Received</dt><dd>${shownTime(Date.parse(mail.at))}</dd></dl>
${
  mail.links.length > 0
    ? html`<h2>Links in this mail</h2><ul>${mail.links.map((link) => html`<li><a rel="noreferrer" href="${link}">${link}</a></li>`)}</ul>`
    : null
}
<h2>Text</h2><div class="panel"><pre>${mail.text}</pre></div>
${
  mail.html === null
    ? null
    : html`<h2>HTML</h2><iframe title="The HTML part of the mail" src="/mail/${mail.id}/html"
sandbox="allow-popups allow-popups-to-escape-sandbox"></iframe>`
}
<p><a href="/mail/${mail.id}/raw">Raw message</a></p>`,
  );
}
