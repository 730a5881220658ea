import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunningIngest } from '../../../services/webhook-ingest/main.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';
import { stripeEvent, stripeSignature } from '../../unit/ingest/signature.ts';
import { type Delivery, deliver, metric, nowS, PATH, SECRET, startTestIngest } from './harness.ts';

type Stored = { event_id: string; type: string; account: string; raw: Buffer; state: string; verdict: string };

describe('webhook-ingest', () => {
  let database: TestDatabase;
  let ingest: RunningIngest;

  before(async () => {
    database = await createTestDatabase();
    ingest = await startTestIngest(database);
  });
  after(async () => {
    await ingest.stop();
    await database.close();
  });

  const stored = (pattern = '%') =>
    database.asSuperuser<Stored>(
      'select event_id, type, account, raw, state, verdict from inbox.events where event_id like $1 order by event_id',
      [pattern],
    );
  const problem = async (response: Response) => (await response.json()) as { code: string; status: number };

  it('stores the raw bytes with the verdict before it answers 200', async () => {
    const body = `${stripeEvent('evt_first', { account: 'acct_7' })}\n  `;
    const response = await deliver(ingest.port, 'evt_first', { body });
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { received: true });
    const [row] = await stored('evt_first');
    assert.equal(row?.raw.toString(), body);
    assert.equal(row?.account, 'acct_7');
    assert.equal(row?.state, 'received');
    assert.match(row?.verdict ?? '', /^[0-9a-f]{8}$/);
  });

  it('acknowledges a duplicate and keeps the first one', async () => {
    await deliver(ingest.port, 'evt_twice');
    const again = await deliver(ingest.port, 'evt_twice', { body: stripeEvent('evt_twice', { type: 'other.type' }) });
    assert.equal(again.status, 200);
    const rows = await stored('evt_twice');
    assert.deepEqual(
      rows.map((row) => row.type),
      ['checkout.session.completed'],
    );
  });

  it('keeps the same event id of two accounts apart', async () => {
    await deliver(ingest.port, 'evt_shared', { body: stripeEvent('evt_shared') });
    await deliver(ingest.port, 'evt_shared', { body: stripeEvent('evt_shared', { account: 'acct_1' }) });
    assert.equal((await stored('evt_shared')).length, 2);
  });

  it('stores one event for 50 parallel deliveries to two processes, and acknowledges all of them', async () => {
    const second = await startTestIngest(database);
    try {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, i) => deliver(i % 2 ? ingest.port : second.port, 'evt_fifty')),
      );
      assert.deepEqual(new Set(answers.map((answer) => answer.status)), new Set([200]));
      assert.equal((await stored('evt_fifty')).length, 1);
    } finally {
      await second.stop();
    }
  });

  it('does not deadlock when two processes store the same events in opposite order', async () => {
    const second = await startTestIngest(database);
    try {
      const ids = Array.from({ length: 200 }, (_, i) => `evt_cross_${String(i).padStart(3, '0')}`);
      const answers = await Promise.all([
        ...ids.map((id) => deliver(ingest.port, id)),
        ...ids.toReversed().map((id) => deliver(second.port, id)),
      ]);
      assert.deepEqual(new Set(answers.map((answer) => answer.status)), new Set([200]));
      assert.equal((await stored('evt_cross_%')).length, 200);
    } finally {
      await second.stop();
    }
  });

  it('refuses every kind of bad request, counts it by reason, and stores every good one around it', async () => {
    const good = (id: string) => stripeEvent(id);
    const deep = `{"id":"evt_deep","type":"a","x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    const badUtf8 = Buffer.concat([
      Buffer.from('{"id":"evt_utf8","type":"a","x":"'),
      Buffer.from([0xc3, 0x28, 0x22, 0x7d]),
    ]);
    const bad: { delivery: Delivery; status: number; reason: string }[] = [
      { delivery: { signature: `t=${nowS()},v1=${'0'.repeat(64)}` }, status: 400, reason: 'bad_signature' },
      { delivery: { atS: nowS() - 600 }, status: 400, reason: 'stale' },
      { delivery: { atS: nowS() + 600 }, status: 400, reason: 'future' },
      { delivery: { secret: 'whsec_wrong' }, status: 400, reason: 'bad_signature' },
      {
        delivery: { body: good('evt_cut').slice(0, -9), signature: stripeSignature(good('evt_cut'), SECRET, nowS()) },
        status: 400,
        reason: 'bad_signature',
      },
      { delivery: { body: good('evt_cut').slice(0, -9) }, status: 400, reason: 'malformed_body' },
      { delivery: { body: Buffer.alloc(2 * 1024 * 1024, 0x20) }, status: 413, reason: 'too_large' },
      { delivery: { body: `${good('evt_nul')}\u0000` }, status: 400, reason: 'malformed_body' },
      { delivery: { body: '{"id":"evt\\u0000","type":"a"}' }, status: 400, reason: 'malformed_body' },
      { delivery: { body: badUtf8 }, status: 400, reason: 'malformed_body' },
      { delivery: { signature: 'nonsense' }, status: 400, reason: 'malformed_signature' },
      { delivery: { signature: '' }, status: 400, reason: 'missing_signature' },
    ];
    const count = (reason: string) =>
      metric(ingest.adminPort, new RegExp(`^klar_ingest_refused_total\\{.*reason="${reason}"`));
    const reasons = [...new Set(bad.map((one) => one.reason))];
    const before = new Map(await Promise.all(reasons.map(async (reason) => [reason, await count(reason)] as const)));

    const answers = await Promise.all([
      ...bad.map(({ delivery }, i) => deliver(ingest.port, `evt_bad_${i}`, delivery)),
      ...Array.from({ length: 60 }, (_, i) => deliver(ingest.port, `evt_good_${i}`)),
      deliver(ingest.port, 'evt_deep', { body: deep }),
    ]);
    const refused = answers.splice(0, bad.length);
    for (const [i, one] of bad.entries()) {
      const response = refused[i] as Response;
      assert.equal(response.status, one.status, one.reason);
      assert.match(response.headers.get('content-type') ?? '', /^application\/problem\+json/);
      assert.equal((await problem(response)).code, one.reason);
    }
    for (const answer of answers) assert.equal(answer.status, 200);
    assert.equal((await stored('evt_good_%')).length, 60);
    assert.equal((await stored('evt_deep')).length, 1);
    assert.equal((await stored('evt_bad_%')).length, 0);
    for (const reason of reasons) {
      const expected = bad.filter((one) => one.reason === reason).length;
      assert.equal((await count(reason)) - (before.get(reason) ?? 0), expected, reason);
    }
  });

  it('stores the neighbours of a row that the database refuses, and blames itself for that row', async () => {
    await database.asSuperuser(`alter table inbox.events add constraint poison check (type <> 'poison')`);
    try {
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, i) =>
          deliver(ingest.port, `evt_pz_${i}`, i === 17 ? { body: stripeEvent('evt_pz_17', { type: 'poison' }) } : {}),
        ),
      );
      const statuses = answers.map((answer) => answer.status);
      assert.deepEqual(
        statuses,
        statuses.map((_, i) => (i === 17 ? 503 : 200)),
      );
      assert.equal((await problem(answers[17] as Response)).code, 'unstorable');
      assert.equal((await stored('evt_pz_%')).length, 39);
    } finally {
      await database.asSuperuser('alter table inbox.events drop constraint poison');
    }
  });

  it('answers 404 off its paths, 405 to other methods, and takes the path with a query', async () => {
    const url = `http://127.0.0.1:${ingest.port}`;
    const elsewhere = await fetch(`${url}/api/orders`, { method: 'POST' });
    assert.equal(elsewhere.status, 404);
    assert.equal((await problem(elsewhere)).code, 'not_found');
    const get = await fetch(url + PATH);
    assert.equal(get.status, 405);
    assert.equal(get.headers.get('allow'), 'POST');
    const body = stripeEvent('evt_query');
    const headers = { 'Stripe-Signature': stripeSignature(body, SECRET, nowS()) };
    assert.equal((await fetch(`${url}${PATH}?from=stripe`, { method: 'POST', headers, body })).status, 200);
  });

  it('reads a body in pieces and survives a sender that leaves in the middle', async () => {
    const body = stripeEvent('evt_pieces');
    const head = (length: number) =>
      `POST ${PATH} HTTP/1.1\r\nHost: x\r\nStripe-Signature: ${stripeSignature(body, SECRET, nowS())}\r\nContent-Length: ${length}\r\n\r\n`;
    const gone = connect(ingest.port, '127.0.0.1');
    gone.write(head(5_000) + body.slice(0, 10));
    await until(() => gone.bytesWritten > 0);
    gone.destroy();
    const socket = connect(ingest.port, '127.0.0.1');
    socket.setNoDelay(true);
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.write(head(Buffer.byteLength(body)));
    for (const piece of body.match(/.{1,20}/g) ?? []) {
      socket.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => answer.includes('received'));
    assert.match(answer, /^HTTP\/1\.1 200 /);
    socket.destroy();
  });

  it('ends a connection that goes on sending beyond 8 MiB', async () => {
    const socket = connect(ingest.port, '127.0.0.1');
    let answer = '';
    let closed = false;
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      closed = true;
    });
    socket.write(`POST ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n`);
    await until(() => closed);
    assert.match(answer, /^HTTP\/1\.1 413 /);
  });

  it('follows a rotation of its secret without a restart', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'klar-secrets-'));
    const folder = join(dir, 'STRIPE_WEBHOOK_SECRET');
    await mkdir(folder);
    await writeFile(join(folder, 'current'), 'whsec_generation_one');
    const rotating = await startTestIngest(database, { STRIPE_WEBHOOK_SECRET: '', KLAR_SECRETS_DIR: dir });
    try {
      const status = async (id: string, secret: string) => (await deliver(rotating.port, id, { secret })).status;
      assert.equal(await status('evt_rot_1', 'whsec_generation_one'), 200);
      await writeFile(join(folder, 'previous'), 'whsec_generation_one');
      await writeFile(join(folder, 'current'), 'whsec_generation_two');
      await until(async () => (await status('evt_rot_2', 'whsec_generation_two')) === 200);
      assert.equal(await status('evt_rot_3', 'whsec_generation_one'), 200);
      await rm(join(folder, 'previous'));
      await until(async () => (await status('evt_rot_4', 'whsec_generation_one')) === 400);
    } finally {
      await rotating.stop();
      await rm(dir, { recursive: true });
    }
  });

  it('answers 503 with Retry-After, never 400, while it has no secret', async () => {
    const unset = await startTestIngest(database, { STRIPE_WEBHOOK_SECRET: '' });
    try {
      const response = await deliver(unset.port, 'evt_unset');
      assert.equal(response.status, 503);
      assert.equal(response.headers.get('retry-after'), '1');
    } finally {
      await unset.stop();
    }
  });

  it('is ready, and shows its secret generation but not its secret', async () => {
    const ready = await fetch(`http://127.0.0.1:${ingest.adminPort}/readyz`);
    assert.equal(ready.status, 200);
    const version = await (await fetch(`http://127.0.0.1:${ingest.adminPort}/versionz`)).text();
    assert.match(version, /"STRIPE_WEBHOOK_SECRET":"[0-9a-f]{8}"/);
    assert.doesNotMatch(version, /whsec_/);
  });

  it('finishes what it took before it stops', async () => {
    const short = await startTestIngest(database);
    const sent = Promise.allSettled(
      Array.from({ length: 100 }, async (_, i) => (await deliver(short.port, `evt_stop_${i}`)).status),
    );
    await until(async () => (await metric(short.adminPort, /^klar_ingest_acked_total/)) > 0);
    await short.stop();
    const answers = await sent;
    const acked = answers.filter((answer) => answer.status === 'fulfilled' && answer.value === 200).length;
    assert.ok(acked > 0);
    assert.ok((await stored('evt_stop_%')).length >= acked);
  });
});

describe('webhook-ingest with a silent client', () => {
  it('stops in little more than a second though somebody is connected and says nothing', async () => {
    const database = await createTestDatabase();
    const ingest = await startTestIngest(database);
    const silent = connect(ingest.port, '127.0.0.1');
    silent.on('error', () => {});
    await new Promise((resolve) => silent.once('connect', resolve));
    const began = performance.now();
    await ingest.stop();
    assert.ok(performance.now() - began < 5_000);
    silent.destroy();
    await database.close();
  });
});

describe('webhook-ingest without its database', () => {
  it('answers 503 and recovers by itself', async () => {
    const database = await createTestDatabase();
    const ingest = await startTestIngest(database);
    try {
      const [{ current_database: name } = { current_database: '' }] = await database.asSuperuser<{
        current_database: string;
      }>('select current_database()');
      assert.equal((await deliver(ingest.port, 'evt_before')).status, 200);
      await database.asSuperuser(`alter role klar_ingest_a in database ${name} set default_transaction_read_only = on`);
      await database.asSuperuser(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'klar webhook-ingest' and datname = current_database()`,
      );
      const response = await until(async () => {
        const answer = await deliver(ingest.port, 'evt_during');
        return answer.status === 503 ? answer : undefined;
      });
      assert.equal(response.headers.get('retry-after'), '1');
      await database.asSuperuser(`alter role klar_ingest_a in database ${name} reset default_transaction_read_only`);
      await database.asSuperuser(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'klar webhook-ingest' and datname = current_database()`,
      );
      await until(async () => (await deliver(ingest.port, 'evt_after')).status === 200);
    } finally {
      await ingest.stop();
      await database.close();
    }
  });
});
