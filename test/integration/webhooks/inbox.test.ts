import assert from 'node:assert/strict';
import { resolveAttemptQueue } from '#domain/payments/index.ts';
import { PermanentEventError } from '#domain/webhooks/index.ts';
import { fail } from '#platform/errors/index.ts';
import { newId } from '#platform/ids/index.ts';
import { send } from '#platform/queue/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { countingHandler, createRig, NEVER } from './rig.ts';

describe('the inbox', () => {
  let database: TestDatabase;
  const tenant = newId('ten');
  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.close());
  afterEach(() => database.asSuperuser('delete from inbox.events'));

  it('routes an event to the tenant of its object and makes its effect once', async () => {
    const rig = createRig(database);
    await rig.map('obj_evt_a', tenant);
    await rig.store('evt_a');
    assert.deepEqual(await rig.drain(), ['done']);
    const event = await rig.event('evt_a');
    assert.equal(event.state, 'done');
    assert.equal(event.tenant_id, tenant);
    assert.deepEqual(event.object_ids, ['obj_evt_a']);
    assert.equal(await rig.effects('evt_a'), 1);
    assert.deepEqual(await rig.drain(), []);
  });

  it('takes the tenant from the map and never from what the payload says', async () => {
    const rig = createRig(database);
    await rig.map('obj_claim', tenant);
    const raw = JSON.stringify({
      id: 'evt_claim',
      type: 'thing.changed',
      data: { object: { id: 'obj_claim', metadata: { tenant_id: newId('ten') } } },
    });
    await rig.store('evt_claim', { raw });
    await rig.drain();
    assert.equal((await rig.event('evt_claim')).tenant_id, tenant);
  });

  it('does not mix up the objects of two accounts', async () => {
    const rig = createRig(database);
    const other = newId('ten');
    await rig.map('obj_both', tenant, '');
    await rig.map('obj_both', other, 'acct_2');
    await rig.store('evt_acct', { objectId: 'obj_both', account: 'acct_2' });
    await rig.drain();
    assert.equal((await rig.event('evt_acct')).tenant_id, other);
  });

  it('keeps events of types nobody handles, visible as ignored', async () => {
    const rig = createRig(database);
    await rig.store('evt_unknown', { type: 'weather.changed' });
    assert.deepEqual(await rig.drain(), []);
    assert.equal((await rig.event('evt_unknown')).state, 'ignored');
  });

  it('waits for the mapping of an object, gives up as unmatched, and takes it up when the mapping appears', async () => {
    const rig = createRig(database);
    await rig.store('evt_late');
    await rig.inbox.route();
    const waiting = await rig.event('evt_late');
    assert.equal(waiting.state, 'received');
    assert.ok(waiting.delay_s > 0.4 && waiting.delay_s <= 1, `waits ${waiting.delay_s} s`);
    for (let i = 0; i < 9; i += 1) {
      await rig.fastForward();
      await rig.inbox.route();
    }
    const unmatched = await rig.event('evt_late');
    assert.equal(unmatched.state, 'unmatched');
    assert.equal(unmatched.last_error, 'no tenant owns the object');
    assert.equal(await rig.inbox.reviveUnmatched(), 0);
    await rig.map('obj_evt_late', tenant);
    assert.equal(await rig.inbox.reviveUnmatched(), 1);
    assert.deepEqual(await rig.drain(), ['done']);
    assert.equal(await rig.effects('evt_late'), 1);
  });

  it('is not stopped by a payload that cannot be read or whose extractor throws', async () => {
    const rig = createRig(database);
    await rig.map('obj_evt_ok', tenant);
    await rig.store('evt_broken', { raw: '{"id":' });
    await rig.store('evt_shape', { raw: '{"id":"evt_shape"}' });
    await rig.store('evt_nul', { raw: '{"data":{"object":{"id":"a\\u0000b"}}}' });
    await rig.store('evt_ok');
    assert.deepEqual(await rig.drain(), ['done']);
    assert.equal((await rig.event('evt_broken')).state, 'dead');
    assert.equal((await rig.event('evt_shape')).state, 'dead');
    assert.equal((await rig.event('evt_nul')).state, 'unmatched');
  });

  it('rolls the effect back with the failed attempt, waits longer each time, and is dead in the end', async () => {
    const failing = countingHandler();
    const rig = createRig(database, {
      handlers: [
        {
          ...failing,
          apply: async (tx, event, prepared) => {
            await failing.apply(tx, event, prepared);
            throw new Error('a secret value in a driver message');
          },
        },
      ],
    });
    await rig.map('obj_evt_fail', tenant);
    await rig.store('evt_fail');
    const delays: number[] = [];
    for (let attempt = 1; attempt < 20; attempt += 1) {
      assert.deepEqual(await rig.drain(), ['retry']);
      const event = await rig.event('evt_fail');
      assert.equal(event.attempts, attempt);
      assert.doesNotMatch(event.last_error ?? '', /secret/);
      delays.push(event.delay_s);
      await rig.fastForward();
    }
    assert.deepEqual(await rig.drain(), ['dead']);
    assert.equal((await rig.event('evt_fail')).state, 'dead');
    assert.equal(await rig.effects('evt_fail'), 0);
    assert.ok((delays[0] ?? 9) < 1 && (delays[5] ?? 0) > 10 && (delays[18] ?? 0) > 3_600, String(delays));
  });

  it('is dead at once when no later attempt can help', async () => {
    const rig = createRig(database, {
      handlers: [
        countingHandler({
          prepare: async () => {
            throw new PermanentEventError('amount is not a number');
          },
        }),
      ],
    });
    await rig.map('obj_evt_perm', tenant);
    await rig.store('evt_perm');
    assert.deepEqual(await rig.drain(), ['dead']);
    assert.equal((await rig.event('evt_perm')).last_error, 'amount is not a number');
  });

  it('starts again at prepare when the row changed meanwhile, and writes nothing of the refused apply', async () => {
    let fetches = 0;
    const counting = countingHandler();
    const rig = createRig(database, {
      handlers: [
        {
          ...counting,
          prepare: async () => {
            fetches += 1;
            return fetches;
          },
          apply: async (tx, event, prepared) => {
            await counting.apply(tx, event, prepared);
            return prepared === 3 ? 'done' : 'refetch';
          },
        },
      ],
    });
    await rig.map('obj_evt_refetch', tenant);
    await rig.store('evt_refetch');
    assert.deepEqual(await rig.drain(), ['done']);
    assert.equal(fetches, 3);
    assert.equal(await rig.effects('evt_refetch'), 1);
    assert.equal((await rig.event('evt_refetch')).attempts, 1);
  });

  it('does not refetch for ever', async () => {
    const rig = createRig(database, { handlers: [countingHandler({ apply: async () => 'refetch' })] });
    await rig.map('obj_evt_spin', tenant);
    await rig.store('evt_spin');
    assert.deepEqual(await rig.drain(), ['retry']);
  });

  it('opens no transaction while a handler prepares', async () => {
    let open = -1;
    const rig = createRig(database, {
      handlers: [
        countingHandler({
          prepare: async () => {
            const [row] = await database.asSuperuser<{ n: number }>(
              `select count(*)::int as n from pg_stat_activity
               where usename = 'klar_worker_a' and datname = current_database() and xact_start is not null`,
            );
            open = row?.n ?? -1;
          },
        }),
      ],
    });
    await rig.map('obj_evt_open', tenant);
    await rig.store('evt_open');
    await rig.drain();
    assert.equal(open, 0);
  });

  it('lets a worker whose lease ran out write nothing', async () => {
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let first = true;
    const rig = createRig(database, {
      leaseMs: 60_000,
      handlers: [
        countingHandler({
          prepare: async () => {
            if (first) {
              first = false;
              await held;
            }
          },
        }),
      ],
    });
    await rig.map('obj_evt_slow', tenant);
    await rig.store('evt_slow');
    await rig.inbox.route();
    const [claimed] = await rig.inbox.claim(1);
    assert.ok(claimed);
    const slow = rig.inbox.handle(claimed, NEVER);
    await database.asSuperuser(`update inbox.events set lease_until = now() - interval '1 second'`);
    assert.equal(await rig.inbox.expireLeases(), 1);
    assert.deepEqual(await rig.drain(), ['done']);
    release();
    assert.equal(await slow, 'lost');
    assert.equal(await rig.effects('evt_slow'), 1);
  });

  it('gives an event of a dead worker to another, and counts that attempt', async () => {
    const rig = createRig(database);
    await rig.map('obj_evt_gone', tenant);
    await rig.store('evt_gone');
    await rig.inbox.route();
    assert.equal((await rig.inbox.claim(1)).length, 1);
    assert.equal(await rig.inbox.expireLeases(), 0, 'not before the lease is over');
    await database.asSuperuser(`update inbox.events set lease_until = now() - interval '1 second'`);
    assert.equal(await rig.inbox.expireLeases(), 1);
    assert.deepEqual(await rig.drain(), ['done']);
    assert.equal((await rig.event('evt_gone')).attempts, 2);
  });

  it('buries an event that kills its worker every time', async () => {
    const rig = createRig(database);
    await rig.map('obj_evt_killer', tenant);
    await rig.store('evt_killer');
    await rig.inbox.route();
    await rig.inbox.claim(1);
    await database.asSuperuser(`update inbox.events set attempts = 20, lease_until = now() - interval '1 second'`);
    await rig.inbox.expireLeases();
    assert.equal((await rig.event('evt_killer')).state, 'dead');
  });

  it('does not count an attempt against an event when the database was away', async () => {
    const rig = createRig(database, {
      handlers: [
        countingHandler({
          prepare: async () => {
            throw fail.unavailable('database_unavailable', 'The database does not answer; try again shortly.', 2);
          },
        }),
      ],
    });
    await rig.map('obj_evt_away', tenant);
    await rig.store('evt_away');
    await rig.inbox.route();
    const [claimed] = await rig.inbox.claim(1);
    assert.ok(claimed);
    assert.equal(await rig.inbox.handle(claimed, NEVER), 'released');
    const event = await rig.event('evt_away');
    assert.equal(event.state, 'ready');
    assert.equal(event.attempts, 0);
  });

  it('gives an event back when the worker stops in the middle', async () => {
    const stopping = new AbortController();
    const rig = createRig(database, {
      handlers: [
        countingHandler({
          prepare: (_event, { signal }) =>
            new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        }),
      ],
    });
    await rig.map('obj_evt_stop', tenant);
    await rig.store('evt_stop');
    await rig.inbox.route();
    const [claimed] = await rig.inbox.claim(1);
    assert.ok(claimed);
    const running = rig.inbox.handle(claimed, stopping.signal);
    stopping.abort(new Error('stop'));
    assert.equal(await running, 'released');
    const event = await rig.event('evt_stop');
    assert.deepEqual([event.state, event.attempts, event.lease_token], ['ready', 0, null]);
  });

  it('never gives one event to two workers', async () => {
    const rig = createRig(database);
    for (let i = 0; i < 60; i += 1) {
      await rig.map(`obj_evt_race_${i}`, tenant);
      await rig.store(`evt_race_${i}`);
    }
    while ((await rig.inbox.route()) > 0);
    const rigs = [rig, createRig(database), createRig(database)];
    const claims = await Promise.all(Array.from({ length: 12 }, (_, i) => rigs[i % 3]?.inbox.claim(8) ?? []));
    const ids = claims.flat().map((claimed) => claimed.row.id);
    assert.equal(new Set(ids).size, ids.length);
    const handled = claims.flatMap((list, i) => list.map((one) => rigs[i % 3]?.inbox.handle(one, NEVER)));
    await Promise.all(handled);
    await rig.drain();
    for (let i = 0; i < 60; i += 1) assert.equal(await rig.effects(`evt_race_${i}`), 1);
  });

  it('serves a tenant with one event while another floods', async () => {
    const rig = createRig(database);
    const [flood, quiet, late] = [newId('ten'), newId('ten'), newId('ten')];
    for (let i = 0; i < 100; i += 1) {
      await rig.map(`obj_evt_flood_${i}`, flood);
      await rig.store(`evt_flood_${i}`);
    }
    for (const [name, id] of Object.entries({ quiet, calm: late })) {
      await rig.map(`obj_evt_${name}`, id);
      await rig.store(`evt_${name}`);
    }
    while ((await rig.inbox.route()) > 0);
    const claimed = await rig.inbox.claim(6);
    const served = new Set(claimed.map((one) => one.row.tenant_id));
    assert.deepEqual(served, new Set([flood, quiet, late]));
    assert.equal(claimed.filter((one) => one.row.tenant_id === flood).length, 2, 'a third of six places');
    // One place at a time: the flooding tenant must not take every one of them.
    const singles: string[] = [];
    await rig.store('evt_quiet_2', { objectId: 'obj_evt_quiet' });
    await rig.inbox.route();
    for (let i = 0; i < 4; i += 1) singles.push(...(await rig.inbox.claim(1)).map((one) => one.row.tenant_id));
    assert.ok(singles.includes(quiet), String(singles));
  });

  it('refuses to move an object to another tenant', async () => {
    const rig = createRig(database);
    await rig.map('obj_fixed', tenant);
    await rig.map('obj_fixed', tenant);
    await assert.rejects(rig.map('obj_fixed', newId('ten')), { code: 'provider_object_taken' });
  });

  it('shows depth and age', async () => {
    const rig = createRig(database);
    await rig.store('evt_depth_1');
    await rig.store('evt_depth_2', { type: 'weather.changed' });
    await database.asSuperuser(`update inbox.events set next_attempt_at = now() - interval '90 seconds'`);
    const numbers = await rig.inbox.measure();
    assert.equal(numbers.received, 2);
    assert.ok(numbers.oldest_s >= 90 && numbers.oldest_s < 100);
    assert.match(await rig.metrics.registry.metrics(), /klar_inbox_depth\{state="received"\} 2/);
    const [status] = await database.asSuperuser<{ inbox_depth: string; inbox_oldest_ready_s: number }>(
      'select inbox_depth, inbox_oldest_ready_s from ops.status_numbers()',
    );
    assert.equal(status?.inbox_depth, '2');
    assert.ok((status?.inbox_oldest_ready_s ?? 0) >= 90);
  });

  it('counts jobs whose time has come, not those for tomorrow', async () => {
    const db = database.db('klar_api');
    const depth = async () =>
      (await database.asSuperuser<{ queue_depth: string }>('select queue_depth from ops.status_numbers()'))[0];
    const before = Number((await depth())?.queue_depth);
    const payload = { tenant_id: 'ten_x', order_id: 'ord_x', attempt_id: 'att_x' };
    const tomorrow = new Date(Date.now() + 24 * 60 * 60 * 1000);
    await db.withTx((tx) => send(tx, resolveAttemptQueue, payload, { startAfter: tomorrow }));
    assert.equal(Number((await depth())?.queue_depth), before);
    await db.withTx((tx) => send(tx, resolveAttemptQueue, payload));
    assert.equal(Number((await depth())?.queue_depth), before + 1);
  });
});

describe('rights on the inbox', () => {
  let database: TestDatabase;
  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.close());

  const denied = /permission denied/;
  const as = (role: 'klar_ingest' | 'klar_api' | 'klar_worker', sql: string) =>
    database.asSuperuser(`set role ${role}; ${sql}; reset role`).finally(() => database.asSuperuser('reset role'));

  it('let ingest insert an event and nothing else', async () => {
    for (const sql of [
      'select id from inbox.events',
      `update inbox.events set state = 'done'`,
      'delete from inbox.events',
      'truncate inbox.events',
      `insert into inbox.events (id, provider, event_id, type, raw, received_at, verdict, state) values ('a','b','c','d','','now','g','done')`,
      `insert into inbox.events (id, provider, event_id, type, raw, received_at, verdict) values ('a','b','c','d','','now','g') returning id`,
      `insert into inbox.events (id, provider, account, event_id, type, raw, received_at, verdict) values ('a','b','','c','d','','now','g') on conflict (provider, account, event_id) do nothing`,
      'select object_id from routing.provider_objects',
      'select worker_id from ops.worker_heartbeats',
      'select queue_depth from ops.status_numbers()',
    ]) {
      await assert.rejects(as('klar_ingest', sql), denied, sql);
    }
    await as(
      'klar_ingest',
      `insert into inbox.events (id, provider, event_id, type, raw, received_at, verdict) values ('a','b','c','d','','now','g') on conflict do nothing`,
    );
    await as('klar_ingest', 'select ops.schema_version()');
  });

  it('keep payloads from the api and the raw bytes from change by anybody', async () => {
    await assert.rejects(as('klar_api', 'select raw from inbox.events'), denied);
    await assert.rejects(as('klar_api', `update inbox.events set tenant_id = 'ten_x'`), denied);
    await assert.rejects(as('klar_worker', `update inbox.events set raw = ''`), denied);
    await assert.rejects(as('klar_worker', `update inbox.events set verdict = ''`), denied);
    await assert.rejects(as('klar_worker', 'delete from inbox.events'), denied);
  });
});
