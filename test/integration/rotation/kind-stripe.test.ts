import { deepEqual, equal, match, notEqual, ok, rejects } from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Step } from '#domain/secrets/index.ts';
import { type FakeClock, fakeClock } from '#platform/clock/index.ts';
import type { Db } from '#platform/db/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import type { KindAdapter, StepInput } from '../../../services/controller/rotation/kind.ts';
import { stripeWebhookKind } from '../../../services/controller/rotation/kind-stripe-webhook.ts';
import { createUndelivered } from '../../../services/controller/rotation/stripe-undelivered.ts';
import { type Sandbox, startSandbox } from '../../../services/sandbox/main.ts';
import { stepInputFor } from '../../support/rotation/step-input.ts';
import { until } from '../../support/until.ts';

const KEY = 'sk_test_rotation';
type Endpoint = { id: string; status: string; enabled_events: string[]; secret: string };

/** An ingest that takes what is signed with one of its secrets, and can be made to refuse everything. */
async function startFakeIngest() {
  const says = { secrets: [] as string[], down: false };
  const stored = new Set<string>();
  const server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const [time, sign] = String(request.headers['stripe-signature']).split(',');
    const signed = (secret: string) =>
      sign ===
      `v1=${createHmac('sha256', secret)
        .update(`${time?.slice(2)}.${body}`)
        .digest('hex')}`;
    const { id } = JSON.parse(body) as { id?: string };
    const answer = (status: number, code: string) => response.writeHead(status).end(JSON.stringify({ code }));
    if (says.down) return answer(503, 'unavailable');
    if (!says.secrets.some(signed)) return answer(400, 'bad_signature');
    if (id === undefined) return answer(400, 'malformed_body');
    stored.add(id);
    return answer(200, '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/api/billing/stripe/webhook`;
  return { says, stored, url, close: () => new Promise((resolve) => server.close(resolve)) };
}

describe('rotation of the Stripe webhook secret', function () {
  this.timeout(60_000);
  let sandbox: Sandbox;
  let ingest: Awaited<ReturnType<typeof startFakeIngest>>;
  let clock: FakeClock;
  let kind: KindAdapter;
  let first: Endpoint;
  let began: Date;

  beforeEach(async () => {
    ingest = await startFakeIngest();
    sandbox = await startSandbox({
      profile: 'test',
      port: 0,
      smtpPort: 0,
      webhookUrl: undefined,
      webhookSecret: () => [],
      stripeSecretKey: KEY,
      clock: { now: () => new Date() },
      log: silentLogger(),
      // Nothing is tried again while a test runs.
      webhookRetryMs: [3_600_000],
    });
    clock = fakeClock(new Date());
    began = clock.now();
    kind = stripeWebhookKind({ apiKey: () => KEY, apiBase: sandbox.url, webhookUrl: ingest.url, clock });
    first = await stripe<Endpoint>('POST', '/v1/webhook_endpoints', {
      url: ingest.url,
      'enabled_events[0]': 'customer.created',
    });
    ingest.says.secrets = [first.secret];
  });
  afterEach(async () => {
    await sandbox.stop();
    await ingest.close();
  });

  async function stripe<T>(method: string, path: string, fields: Record<string, string> = {}): Promise<T> {
    const response = await fetch(`${sandbox.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/x-www-form-urlencoded' },
      ...(method === 'GET' ? {} : { body: new URLSearchParams(fields).toString() }),
    });
    equal(response.status, 200);
    return (await response.json()) as T;
  }
  const endpoints = async () => (await stripe<{ data: Endpoint[] }>('GET', '/v1/webhook_endpoints')).data;
  const control = (path: string, body: object) =>
    fetch(`${sandbox.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  /** An event for our endpoint, tried once. */
  async function happen(): Promise<string> {
    await stripe('POST', '/v1/customers', { email: 'c@example.com' });
    const { data } = await stripe<{ data: { id: string }[] }>('GET', '/v1/events?limit=1');
    return data[0]?.id ?? '';
  }
  type Sent = { id: string; deliveries: { state: string; attempts: unknown[] }[] };
  const tried = (id: string) =>
    until(
      async () => {
        const { data } = (await (await fetch(`${sandbox.url}/sandbox/events`)).json()) as { data: Sent[] };
        const mine = data.find((event) => event.id === id);
        return mine?.deliveries.every(({ attempts, state }) => attempts.length > 0 || state === 'dropped');
      },
      { timeoutMs: 20_000, what: `${id} is sent` },
    );

  let made = '';
  const at = (step: Step, more: { wasActive?: boolean } = {}): StepInput => {
    const before = { value: first.secret, generation: 'old' };
    const fresh = { value: made, generation: 'new' };
    const values =
      step === 'provisioning'
        ? { current: before }
        : step === 'verifying'
          ? { current: fresh, retired: before }
          : ['reverting', 'draining', 'withdrawing'].includes(step)
            ? { current: before, previous: fresh }
            : { current: fresh, previous: before };
    const db = undefined as unknown as Db;
    return stepInputFor({ name: 'STRIPE_WEBHOOK_SECRET', db, step, values, stepSince: began, ...more });
  };
  async function provisioned(): Promise<Endpoint> {
    made = (await kind.provision?.(at('provisioning'))) ?? '';
    match(made, /^whsec_/);
    ingest.says.secrets = [first.secret, made];
    const fresh = (await endpoints()).find(({ id }) => id !== first.id);
    ok(fresh);
    return fresh;
  }

  it('does not switch the old endpoint off while the new one is disabled or gone', async () => {
    const fresh = await provisioned();
    await stripe('POST', `/v1/webhook_endpoints/${fresh.id}`, { disabled: 'true' });
    await rejects(async () => kind.test?.(at('testing')), /disabled at Stripe: enable we_/);
    await rejects(async () => kind.activated?.(at('activating')), /enable we_\S+ there; or .*--rollback/);
    await stripe('DELETE', `/v1/webhook_endpoints/${fresh.id}`);
    await rejects(async () => kind.activated?.(at('activating')), /gone from Stripe; or end this with .*--rollback/);
    deepEqual(
      (await endpoints()).map(({ id, status }) => [id, status]),
      [[first.id, 'enabled']],
    );
  });

  it('does not take an endpoint that was deleted since for the new one, and makes another later', async () => {
    const fresh = await provisioned();
    await stripe('DELETE', `/v1/webhook_endpoints/${fresh.id}`);
    await rejects(async () => kind.provision?.(at('provisioning')), /was deleted at Stripe since .*--rollback ends it/);
    clock.advance(600_000);
    const again = await provisioned();
    notEqual(again.id, fresh.id);
  });

  it('does not repeat a failure that Stripe remembers for ever, and leaves no stray behind', async () => {
    await control('/sandbox/faults', {
      match: { path: '/v1/webhook_endpoints', method: 'POST' },
      kind: 'http_500',
      applied: true,
    });
    await rejects(async () => kind.provision?.(at('provisioning')), /with 500; a fresh attempt follows .*--rollback/);
    await rejects(async () => kind.provision?.(at('provisioning')), /with 500/, 'Stripe remembers it');
    clock.advance(600_000);
    await provisioned();
    equal((await endpoints()).length, 2);
  });

  it('hands over what waits to be tried again, before each endpoint that it would come to goes', async () => {
    ingest.says.down = true;
    const waiting = await happen();
    await tried(waiting);
    ingest.says.down = false;
    const fresh = await provisioned();
    await kind.activated?.(at('activating'));
    ok(ingest.stored.has(waiting), 'before the old one is switched off');
    const state = Object.fromEntries((await endpoints()).map(({ id, ...one }) => [id, one]));
    equal(state[first.id]?.status, 'disabled');
    deepEqual(state[fresh.id]?.enabled_events, ['customer.created']);
    for (const step of ['drain', 'retire'] as const) {
      await control('/sandbox/faults', { match: { event: 'customer.created' }, kind: 'drop' });
      const dropped = await happen();
      await tried(dropped);
      ok(!ingest.stored.has(dropped));
      await kind[step]?.(at(step === 'drain' ? 'soaking' : 'retiring'));
      ok(ingest.stored.has(dropped), step);
    }
    deepEqual(
      (await endpoints()).map(({ id }) => id),
      [fresh.id],
    );
  });

  it('hands over more than one visit may, from where the one before ended', async () => {
    ingest.says.down = true;
    const waiting = [await happen(), await happen(), await happen()];
    for (const id of waiting) await tried(id);
    ingest.says.down = false;
    const access = { apiKey: () => KEY, apiBase: sandbox.url };
    const { handOver } = createUndelivered({ ...access, url: ingest.url, clock, visitMs: 0 });
    const visit = () => handOver(at('retiring'), first.secret, ['customer.created']);
    for (const [index] of waiting.entries()) {
      await rejects(visit, new RegExp(`NotYet: .*handed over: ${index + 1} so far`));
      // Not taken: tried again by the next visit, and a long walk does not begin anew.
      if (index > 0) continue;
      ingest.says.down = true;
      await rejects(visit, /answers 503/);
      ingest.says.down = false;
    }
    await visit();
    deepEqual([...ingest.stored].sort(), waiting.sort());
    // What is not wanted takes time as well, and is passed over visit by visit.
    const unwanted = () => handOver(at('withdrawing'), first.secret, ['invoice.paid']);
    for (const _ of waiting) await rejects(unwanted, /handed over: 0 so far/);
    await unwanted();
  });

  it('going back hands over what waits at the new endpoint, and refuses to leave none', async () => {
    await provisioned();
    await kind.activated?.(at('activating'));
    for (const [step, effect] of [
      ['reverting', 'reverted'],
      ['withdrawing', 'withdraw'],
    ] as const) {
      await control('/sandbox/faults', { match: { event: 'customer.created' }, kind: 'drop' });
      const dropped = await happen();
      await tried(dropped);
      await kind[effect]?.(at(step, { wasActive: true }));
      ok(ingest.stored.has(dropped), step);
    }
    deepEqual(
      (await endpoints()).map(({ id, status }) => [id, status]),
      [[first.id, 'enabled']],
    );
    await stripe('DELETE', `/v1/webhook_endpoints/${first.id}`);
    await rejects(
      async () => kind.reverted?.(at('reverting', { wasActive: true })),
      /endpoint of before is gone .*by hand/,
    );
  });

  it('is not held up by a stray endpoint that is disabled, and names one that is not with the way out', async () => {
    await provisioned();
    await kind.activated?.(at('activating'));
    await kind.retire?.(at('retiring'));
    const fields = { url: ingest.url, 'enabled_events[0]': 'charge.refunded' };
    const stray = await stripe<Endpoint>('POST', '/v1/webhook_endpoints', fields);
    ingest.says.secrets = [made];
    await rejects(
      kind.prove(at('verifying')),
      new RegExp(`delete or disable ${stray.id} there, and this rotation ends`),
    );
    await stripe('POST', `/v1/webhook_endpoints/${stray.id}`, { disabled: 'true' });
    await kind.prove(at('verifying'));
  });
});
