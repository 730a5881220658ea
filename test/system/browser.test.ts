import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { type AllInOne, createAllInOne } from '../support/all-in-one.ts';
import { ApiClient } from '../support/client.ts';
import { until } from '../support/until.ts';

const ARTIFACTS = path.resolve(import.meta.dirname, '../artifacts');
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 360, height: 740 };

/** A person at the checkout and at the mail page, in a real Chromium. Screenshots stay as artifacts. */
describe('the journey in a browser', function () {
  this.timeout(60_000);
  let klar: AllInOne;
  let browser: Browser;
  let student: Awaited<ReturnType<ApiClient['register']>>;
  let school: ApiClient;
  let teacher: ApiClient;
  let slug = '';

  before(async function () {
    this.timeout(90_000);
    await mkdir(ARTIFACTS, { recursive: true });
    klar = await createAllInOne();
    await klar.start();
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
    const anyone = new ApiClient(klar.url);
    slug = `browser-${Date.now()}`;
    const owner = await anyone.register('teacher');
    await owner.client.expect(201, 'POST', '/api/tenants', { body: { name: 'Browser school', slug } });
    teacher = owner.client.with({ tenant: slug });
    student = await anyone.register('student');
    await student.client.expect(201, 'POST', `/api/tenants/${slug}/join`, { body: {} });
    school = student.client.with({ tenant: slug });
  });
  after(async () => {
    await browser?.close();
    await klar?.close();
  });

  /** A course of its own, ordered: one person buys a course once. */
  async function order(uiMode = 'hosted_page'): Promise<{ orderId: string; url: string }> {
    const course = await teacher.expect<{ id: string }>(201, 'POST', '/api/courses', {
      body: { title: `Swedish, ${uiMode}`, price: { amount: 4900, currency: 'USD' }, status: 'published' },
    });
    const { id } = await school.expect<{ id: string }>(201, 'POST', '/api/orders', {
      body: { lines: [{ kind: 'course', id: course.id, quantity: 1 }] },
    });
    const session = await school.expect<{ session_id: string; url?: string }>(
      201,
      'POST',
      '/api/payments/stripe/create-session',
      {
        body: { order_id: id, ui_mode: uiMode },
      },
    );
    // The modes that embed need the provider's script; the sandbox shows every session at the hosted address.
    return { orderId: id, url: session.url ?? `${klar.sandboxUrl}/c/pay/${session.session_id}` };
  }

  const statusOf = async (orderId: string) =>
    (await school.expect<{ status: string }>(200, 'GET', `/api/orders/${orderId}`)).status;
  const untilStatus = (orderId: string, status: string) =>
    until(async () => (await statusOf(orderId)) === status, { timeoutMs: 15_000, what: `order ${status}` });
  const shot = (page: Page, name: string) =>
    page.screenshot({ path: path.join(ARTIFACTS, `${name}.png`), fullPage: true });

  async function open(url: string, viewport = DESKTOP): Promise<Page> {
    const page = await browser.newPage({ viewport });
    const broken: string[] = [];
    page.on('console', (message) => message.type() === 'error' && broken.push(message.text()));
    page.on('pageerror', (error) => broken.push(error.message));
    await page.goto(url);
    assert.deepEqual(broken, [], `the console of ${url}`);
    return page;
  }

  async function fillCard(page: Page, number: string) {
    await page.getByLabel('Card number').fill(number);
    await page.getByLabel('Expiry').fill('12 / 34');
    await page.getByLabel('CVC').fill('123');
    await page.getByRole('button', { name: /^Pay / }).click();
  }

  it('shows a decline, then takes the money and opens the course', async () => {
    const { orderId, url } = await order();
    const page = await open(url);
    await shot(page, 'checkout');
    await fillCard(page, '4000 0000 0000 0002');
    await page.getByRole('alert').waitFor();
    await shot(page, 'checkout-declined');
    assert.equal(await statusOf(orderId), 'pending');
    await fillCard(page, '4242 4242 4242 4242');
    await page.waitForURL(`${klar.url}/checkout/return**`);
    await shot(page, 'checkout-return');
    await untilStatus(orderId, 'paid');
    await page.close();
  });

  it('asks the bank in the 3-D Secure step', async () => {
    const { orderId, url } = await order();
    const page = await open(url);
    await fillCard(page, '4000 0025 0000 3155');
    await page.getByRole('button', { name: 'Complete authentication' }).waitFor();
    await shot(page, 'checkout-3ds');
    assert.equal(await statusOf(orderId), 'pending');
    await page.getByRole('button', { name: 'Complete authentication' }).click();
    await page.waitForURL(`${klar.url}/checkout/return**`);
    await untilStatus(orderId, 'paid');
    await page.close();
  });

  it('pays later by Klarna', async () => {
    const { orderId, url } = await order();
    const page = await open(url);
    await page.getByLabel(/Klarna/).check();
    await page.getByRole('button', { name: /^Pay / }).click();
    await page.getByRole('button', { name: 'Approve', exact: true }).click();
    await page.waitForURL(`${klar.url}/checkout/return**`);
    await untilStatus(orderId, 'paid');
    await page.close();
  });

  it('fails later by Klarna, and the order can be paid again', async () => {
    const { orderId, url } = await order();
    const page = await open(url);
    await page.getByLabel(/Klarna/).check();
    await page.getByRole('button', { name: /^Pay / }).click();
    await page.getByRole('button', { name: 'Approve, fails later' }).click();
    await page.waitForURL(`${klar.url}/checkout/return**`);
    await untilStatus(orderId, 'failed');
    await page.close();
  });

  it('leads back to the shop on cancel, with the order kept', async () => {
    const { orderId, url } = await order();
    const page = await open(url);
    await page.getByRole('link', { name: /Cancel/ }).click();
    await page.waitForURL(`${klar.url}/checkout/cancel**`);
    await shot(page, 'checkout-cancel');
    assert.equal(await statusOf(orderId), 'pending');
    await page.close();
  });

  for (const mode of ['embedded_page', 'elements', 'form']) {
    it(`completes a session of ui_mode ${mode}`, async () => {
      const { orderId, url } = await order(mode);
      const page = await open(url);
      await fillCard(page, '4242 4242 4242 4242');
      await untilStatus(orderId, 'paid');
      await page.close();
    });
  }

  it('shows the mail that was sent, and its link verifies the address', async () => {
    const bought = await order();
    const checkout = await open(bought.url);
    await fillCard(checkout, '4242 4242 4242 4242');
    await untilStatus(bought.orderId, 'paid');
    await checkout.close();
    await until(
      async () => {
        const mails = await (
          await fetch(`${klar.sandboxUrl}/sandbox/mail?to=${encodeURIComponent(student.email)}`)
        ).text();
        return /receipt/i.test(mails) && /confirm/i.test(mails);
      },
      { timeoutMs: 15_000, what: 'receipt and verification mail' },
    );
    const page = await open(`${klar.sandboxUrl}/mail?to=${encodeURIComponent(student.email)}`);
    await shot(page, 'mail');
    await page
      .getByRole('link', { name: /receipt/i })
      .first()
      .click();
    await shot(page, 'mail-receipt');
    await page.goBack();
    await page
      .getByRole('link', { name: /confirm/i })
      .first()
      .click();
    await page
      .getByRole('link', { name: /verify-email/ })
      .first()
      .click();
    await shot(page, 'verify-email');
    await page.getByRole('button').first().click();
    const verified = async () =>
      (await student.client.expect<{ user: { email_verified: boolean } }>(200, 'GET', '/api/me')).user.email_verified;
    await until(verified, { what: 'verified address' });
    await shot(page, 'verify-email-done');
    await page.close();
  });

  it('fits a phone', async () => {
    const { url } = await order();
    for (const [name, address] of [
      ['phone-checkout', url],
      ['phone-mail', `${klar.sandboxUrl}/mail`],
      ['phone-landing', klar.url],
    ] as const) {
      const page = await open(address, PHONE);
      const width = await page.evaluate<number>('document.documentElement.scrollWidth');
      await shot(page, name);
      assert.ok(width <= PHONE.width, `${address} is ${width} px wide at ${PHONE.width} px`);
      await page.close();
    }
  });
});
