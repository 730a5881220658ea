import assert from 'node:assert/strict';
import { createTransport } from 'nodemailer';
import { linksOf } from '../../../services/sandbox/mail/smtp.ts';
import { type Rig, startRig } from './start-sandbox.ts';

describe('sandbox: the mail catcher', () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig();
  });
  after(() => rig.stop());
  beforeEach(() => rig.control('POST', '/sandbox/reset'));

  const send = async (extra: object = {}, timeouts: object = {}) => {
    const transport = createTransport({ url: rig.smtpUrl, ...timeouts });
    try {
      return await transport.sendMail({
        from: 'Klar <no-reply@klar.test>',
        to: 'Student@Example.com',
        subject: 'Bestätige ✓',
        text: 'Verify: https://klar.test/verify?token=a&b=c.\nBye',
        html: '<p>Verify <a href="https://klar.test/verify?token=a&amp;b=c">here</a><script>alert(1)</script></p>',
        headers: { 'X-Klar-Delivery': 'dlv_1' },
        ...extra,
      });
    } finally {
      transport.close();
    }
  };
  const fault = (kind: string, extra: object = {}) =>
    rig.control('POST', '/sandbox/faults', { match: { mail: '*' }, kind, ...extra });
  const mails = async (to = '') => (await rig.control('GET', `/sandbox/mail?to=${to}`)).body.data;

  it('keeps what it accepts, newest first, and finds it by recipient', async () => {
    await send();
    await send({ to: 'teacher@example.com', subject: 'Second' });
    const all = await mails();
    assert.deepEqual(
      all.map((mail: { subject: string }) => mail.subject),
      ['Second', 'Bestätige ✓'],
    );
    const [mail] = await mails('student@example.com');
    assert.deepEqual(mail.to, ['student@example.com']);
    assert.match(mail.from, /no-reply@klar\.test/);
    assert.deepEqual(mail.links, ['https://klar.test/verify?token=a&b=c']);
    assert.equal(mail.headers['x-klar-delivery'], 'dlv_1');
    assert.match(mail.text, /^Verify/);
    const whole = await rig.control('GET', `/sandbox/mail/${mail.id}`);
    assert.match(Buffer.from(whole.body.raw, 'base64').toString(), /^From: /m);
    await rig.control('DELETE', '/sandbox/mail');
    assert.deepEqual(await mails(), []);
  });

  it('takes any login, and offers no STARTTLS it could not keep', async () => {
    const transport = createTransport({ url: rig.smtpUrl.replace('smtp://', 'smtp://user:secret@') });
    await transport.sendMail({ from: 'a@klar.test', to: 'b@klar.test', subject: 'x', text: 'y' });
    assert.equal((await mails('b@klar.test')).length, 1);
  });

  it('shows a mailbox and a mail as pages that run nothing', async () => {
    await send();
    const [mail] = await mails();
    const list = await (await fetch(`${rig.url}/mail?to=student`)).text();
    assert.match(list, new RegExp(`href="/mail/${mail.id}"`));
    const page = await fetch(`${rig.url}/mail/${mail.id}`);
    const text = await page.text();
    assert.match(text, /<a rel="noreferrer" href="https:\/\/klar\.test\/verify\?token=a&amp;b=c">/);
    assert.match(text, /<iframe [^>]*sandbox="allow-popups/);
    assert.equal(text.includes('<script'), false);
    const part = await fetch(`${rig.url}/mail/${mail.id}/html`);
    const policy = String(part.headers.get('content-security-policy'));
    assert.match(policy, /default-src 'none'.*sandbox allow-popups/);
    assert.equal(policy.includes('script'), false);
    const raw = await fetch(`${rig.url}/mail/${mail.id}/raw`);
    assert.match(String(raw.headers.get('content-type')), /^text\/plain/);
    assert.equal((await fetch(`${rig.url}/mail/nothing`)).status, 404);
  });

  it('refuses on command, for good or for now', async () => {
    await fault('smtp_reject', { code: 550 });
    await assert.rejects(send(), (error: { responseCode?: number }) => error.responseCode === 550);
    await rig.control('POST', '/sandbox/faults', {
      match: { mail: 'student@example.com' },
      kind: 'smtp_reject',
      code: 451,
    });
    await send({ to: 'other@example.com' });
    await assert.rejects(send(), (error: { responseCode?: number }) => error.responseCode === 451);
    await send();
    assert.equal((await mails()).length, 2);
  });

  it('is slow on command, and can keep a mail without ever saying so', async () => {
    await fault('smtp_delay', { delay_ms: 80 });
    const started = performance.now();
    await send();
    assert.ok(performance.now() - started >= 75);
    await fault('timeout_after_applying', { delay_ms: 50 });
    await assert.rejects(send({ subject: 'kept' }));
    assert.equal((await mails())[0].subject, 'kept');
  });

  it('finds links in text and HTML, each once, and only web links', () => {
    const html = '<a href="https://a.test/1?x=1&amp;y=2">1</a><a href=\'mailto:x@y\'>m</a><a href="javascript:1">j</a>';
    const text = 'See https://a.test/1?x=1&y=2 and (https://b.test/two), or http://c.test.';
    assert.deepEqual(linksOf(html, text), ['https://a.test/1?x=1&y=2', 'https://b.test/two', 'http://c.test']);
  });
});
