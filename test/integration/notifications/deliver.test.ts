import assert from 'node:assert/strict';
import {
  createDeliverHandler,
  createSmtpMailer,
  type DeliverPayload,
  type Mailer,
  notify,
} from '#domain/notifications/index.ts';
import type { Db, TenantTx } from '#platform/db/index.ts';
import { newId } from '#platform/ids/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createTestDatabase, once, type TestDatabase } from '../../support/database.ts';
import { createFactory, type Factory, type School } from '../../support/factory.ts';
import { type MailServer, startMailServer } from '../../support/mail-server.ts';
import { refusal } from '../../support/refusals.ts';

const FROM = 'Klar <no-reply@klar.test>';

interface Row extends Record<string, unknown> {
  id: string;
  state: string;
  attempts: number;
  last_error: string | null;
  message_id: string | null;
  data: Record<string, unknown>;
}

describe('notifications: deliveries', () => {
  let database: TestDatabase;
  let make: Factory;
  let school: School;
  let worker: Db;
  let server: MailServer;
  before(async () => {
    database = await createTestDatabase();
    make = createFactory(database);
    worker = database.db('klar_worker', { poolSize: 8 });
    school = await make.school();
  });
  beforeEach(async () => {
    server = await startMailServer();
  });
  afterEach(() => server.close());
  after(() => database.close());

  const handler = (mailer: Mailer = createSmtpMailer({ url: () => server.url, from: FROM }), log = silentLogger()) => {
    const handle = createDeliverHandler({ db: worker, mailer, log, metrics: createMetrics() });
    return (payload: DeliverPayload) => handle(payload, { signal: new AbortController().signal });
  };
  const reset = (
    tx: TenantTx,
    dedupeKey: string,
    to: { email: string; name?: string } = { email: 'anna@example.com', name: 'Anna' },
  ) =>
    notify(tx, {
      template: 'auth.reset_password',
      to,
      dedupeKey,
      data: { name: 'Anna', url: 'https://klar.test/reset#token=topsecret', valid_minutes: 60 },
    });
  async function queued(to?: { email: string; name?: string }): Promise<DeliverPayload> {
    const key = newId('test');
    await make.db.withTenantTx(school.id, (tx) => reset(tx, key, to));
    const [row] = await database.asSuperuser<{ id: string }>(
      'select id from app.notification_deliveries where dedupe_key = $1',
      [key],
    );
    return { tenant_id: school.id, delivery_id: row?.id ?? '' };
  }
  async function rowOf({ delivery_id }: DeliverPayload): Promise<Row> {
    const [row] = await database.asSuperuser<Row>('select * from app.notification_deliveries where id = $1', [
      delivery_id,
    ]);
    assert.ok(row);
    return row;
  }
  /** Start times of the jobs that wait for this delivery, in seconds from now. */
  const jobsOf = async ({ delivery_id }: DeliverPayload) =>
    (
      await database.asSuperuser<{ s: number }>(
        `select extract(epoch from start_after - now())::float8 as s from pgboss.job
          where name = 'notifications.deliver' and data::text like '%' || $1 || '%' order by start_after`,
        [delivery_id],
      )
    ).map((row) => row.s);

  it('sends what was asked for, in both forms, and forgets the secret link', async () => {
    const payload = await queued();
    assert.equal(await handler()(payload), 'done');
    const [mail] = server.mails;
    assert.equal(mail?.subject, 'Set a new password');
    assert.match(mail?.text ?? '', /https:\/\/klar\.test\/reset#token=topsecret/);
    assert.match(String(mail?.html), /href="https:\/\/klar\.test\/reset#token=topsecret"/);
    assert.equal(mail?.messageId, `<${payload.delivery_id}@klar.test>`);
    assert.equal(mail?.headers.get('auto-submitted'), 'auto-generated');
    const row = await rowOf(payload);
    assert.equal(row.state, 'sent');
    assert.equal(row.message_id, mail?.messageId);
    assert.deepEqual(row.data, { name: 'Anna', valid_minutes: 60 });
  });

  it('makes one row, one job and one mail of 50 parallel requests with one key', async () => {
    const key = newId('test');
    await Promise.all(Array.from({ length: 50 }, () => make.db.withTenantTx(school.id, (tx) => reset(tx, key))));
    const rows = await database.asSuperuser<Row>('select * from app.notification_deliveries where dedupe_key = $1', [
      key,
    ]);
    assert.equal(rows.length, 1);
    const payload = { tenant_id: school.id, delivery_id: rows[0]?.id ?? '' };
    assert.equal((await jobsOf(payload)).length, 1);
    await Promise.all(Array.from({ length: 20 }, () => handler()(payload)));
    assert.equal(server.mails.length, 1);
    assert.equal((await rowOf(payload)).attempts, 1);
  });

  it('keeps the dedupe keys of two schools apart', async () => {
    const other = await make.school();
    for (const tenant of [school, other]) await make.db.withTenantTx(tenant.id, (tx) => reset(tx, 'same-key'));
    const rows = await database.asSuperuser(`select 1 from app.notification_deliveries where dedupe_key = 'same-key'`);
    assert.equal(rows.length, 2);
  });

  it('asks for nothing when the transaction is rolled back', async () => {
    const key = newId('test');
    await assert.rejects(
      make.db.withTenantTx(school.id, async (tx) => {
        await reset(tx, key);
        throw new Error('rolled back');
      }),
    );
    const rows = await database.asSuperuser('select 1 from app.notification_deliveries where dedupe_key = $1', [key]);
    assert.deepEqual(rows, []);
  });

  it('tries again after a transient refusal, later each time', async () => {
    const payload = await queued();
    server.refuse = 451;
    assert.equal(await handler()(payload), 'done');
    const failed = await rowOf(payload);
    assert.deepEqual([failed.state, failed.attempts, failed.last_error], ['failed', 1, 'SMTP 451, EENVELOPE']);
    const [, retry = 0] = await jobsOf(payload);
    assert.ok(retry > 5 && retry < 20, String(retry));
    await handler()(payload);
    const second = (await jobsOf(payload)).at(-1) ?? 0;
    assert.ok(second > 20 && second < 40, String(second));
    server.refuse = undefined;
    await handler()(payload);
    assert.deepEqual([(await rowOf(payload)).state, server.mails.length], ['sent', 1]);
  });

  it('tries again when nobody answers', async () => {
    const payload = await queued();
    const url = server.url;
    await server.close();
    await handler(createSmtpMailer({ url: () => url, from: FROM }))(payload);
    const row = await rowOf(payload);
    assert.deepEqual([row.state, row.last_error], ['failed', 'no SMTP answer, ESOCKET']);
    server = await startMailServer();
  });

  it('gives up at once when the address is refused for good, and shows it as dead', async () => {
    const payload = await queued();
    server.refuse = 550;
    assert.deepEqual(await handler()(payload), { dead: 'SMTP 550, EENVELOPE', logged: true });
    const row = await rowOf(payload);
    assert.equal(row.state, 'dead');
    assert.ok(!JSON.stringify(row).includes('token'), 'no secret and no server text stays');
    assert.equal((await jobsOf(payload)).length, 1);
    server.refuse = undefined;
    await handler()(payload);
    assert.equal(server.mails.length, 0);
  });

  it('calls for nobody when the recipient is refused for good: one line, a warning', async () => {
    const lines: string[] = [];
    const level = (name: string) => (msg: string) => void lines.push(`${name}: ${msg}`);
    const log = { ...silentLogger(), info: level('info'), warn: level('warn'), error: level('error') };
    server.refuse = 550;
    await handler(undefined, log)(await queued());
    assert.deepEqual(lines, ['warn: message given up']);
  });

  it('is dead after the last of its attempts', async () => {
    const payload = await queued();
    await database.asSuperuser(`update app.notification_deliveries set attempts = 17, state = 'failed' where id = $1`, [
      payload.delivery_id,
    ]);
    server.refuse = 451;
    assert.deepEqual(await handler()(payload), { dead: 'SMTP 451, EENVELOPE', logged: true });
    assert.equal((await rowOf(payload)).state, 'dead');
  });

  it('after a crash between acceptance and commit sends again under the same Message-ID, not before the lease is over', async () => {
    const payload = await queued();
    const inner = createSmtpMailer({ url: () => server.url, from: FROM });
    const crash = new Error('the process died here');
    const dying: Mailer = {
      from: FROM,
      async send(mail, signal) {
        await inner.send(mail, signal);
        // What a kill leaves behind: the row says sending, the lease runs on.
        await worker.close();
        throw crash;
      },
    };
    await assert.rejects(handler(dying)(payload));
    worker = database.db('klar_worker', { poolSize: 8 });
    assert.equal((await rowOf(payload)).state, 'sending');
    await handler()(payload);
    assert.equal(server.mails.length, 1, 'the lease still holds');
    const wait = (await jobsOf(payload)).at(-1) ?? 0;
    assert.ok(wait > 100 && wait < 130, String(wait));
    await database.asSuperuser(`update app.notification_deliveries set lease_until = now() where id = $1`, [
      payload.delivery_id,
    ]);
    await handler()(payload);
    assert.equal(server.mails.length, 2);
    assert.equal(server.mails[0]?.messageId, server.mails[1]?.messageId);
    assert.equal((await rowOf(payload)).state, 'sent');
  });

  it('lets an attempt that lost its lease write nothing', async () => {
    const payload = await queued();
    server.beforeAccept = async () => {
      server.beforeAccept = undefined;
      await database.asSuperuser(`update app.notification_deliveries set lease_until = now() where id = $1`, [
        payload.delivery_id,
      ]);
      server.refuse = 550;
      await handler()(payload);
    };
    await handler()(payload);
    const row = await rowOf(payload);
    assert.deepEqual([row.state, row.attempts], ['dead', 2]);
  });

  it('refuses addresses and names that would write headers', async () => {
    const bad = [
      { email: 'a@b.c\r\nBcc: x@y.z' },
      { email: 'a@b.c', name: 'Anna\r\nBcc: x@y.z' },
      { email: 'a@b.c', name: 'Anna\u0000' },
      { email: 'a@b.c', name: 'Anna\u2028Bcc: x' },
      { email: 'a@b.c,x@y.z' },
      { email: 'a@b.c>' },
    ];
    for (const to of bad) await assert.rejects(queued(to), refusal('invalid_address'), JSON.stringify(to));
  });

  it('never lets a name become a header or a second recipient', async () => {
    for (const name of ['"Anna" <x@y.z>, b', 'Änna, Bcc: x@y.z', '=?utf-8?q?a=0D=0ABcc:_x@y.z?=', '<script>']) {
      await handler()(await queued({ email: 'anna@example.com', name }));
    }
    assert.equal(server.mails.length, 4);
    for (const [i, mail] of server.mails.entries()) {
      assert.equal(mail.bcc, undefined);
      assert.ok(!/^bcc:/im.test((server.raw[i] ?? '').split('\r\n\r\n')[0] ?? ''));
      const to = [mail.to].flat().flatMap((list) => list?.value ?? []);
      assert.deepEqual(
        to.map((address) => address.address),
        ['anna@example.com'],
      );
    }
  });

  it('hides what was written from the role that asked for it', async () => {
    for (const column of ['data', 'to_email', 'state', '*']) {
      await assert.rejects(
        once(
          database.url('klar_api'),
          `select set_config('app.tenant_id', '${school.id}', false); select ${column} from app.notification_deliveries`,
        ),
        /permission denied/,
        column,
      );
    }
  });

  it('handles a delivery that does not exist as done', async () => {
    assert.equal(await handler()({ tenant_id: school.id, delivery_id: newId('dlv') }), 'done');
  });
});
