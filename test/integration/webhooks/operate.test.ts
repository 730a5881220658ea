import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { listEvents, requeueEvents } from '#domain/webhooks/index.ts';
import type { Db } from '#platform/db/index.ts';
import { newId, SYSTEM_TENANT_ID } from '#platform/ids/index.ts';
import { runCli } from '../../../services/cli/main.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createRig, type Rig, TYPE } from './rig.ts';

type AuditRow = { tenant_id: string; action: string; actor_id: string; object_id: string; details: object };

describe('operating stored events', () => {
  let database: TestDatabase;
  let ops: Db;
  let rig: Rig;
  const tenant = newId('ten');
  before(async () => {
    database = await createTestDatabase();
    ops = database.db('klar_ops');
    rig = createRig(database);
  });
  after(() => database.close());
  beforeEach(async () => {
    await database.asSuperuser('delete from inbox.events');
    await database.asSuperuser('delete from app.audit_pending');
  });

  async function klar(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
    const text = { out: '', err: '' };
    const sink = (name: 'out' | 'err') =>
      new Writable({
        write(chunk, _encoding, done) {
          text[name] += chunk;
          done();
        },
      });
    const env = { KLAR_PROFILE: 'test', DATABASE_URL_OPS: database.url('klar_ops'), KLAR_SECRETS_DIR: '/nonexistent' };
    const code = await runCli({ argv, env, stdout: sink('out'), stderr: sink('err') });
    return { code, ...text };
  }
  const json = async (...argv: string[]) => {
    const { code, out, err } = await klar(...argv, '--json');
    assert.equal(code, 0, err);
    return JSON.parse(out);
  };
  const audited = () =>
    database.asSuperuser<AuditRow>(
      `select tenant_id, action, actor_id, object_id, details from app.audit_pending where action like 'webhooks.%'`,
    );
  async function done(eventId: string): Promise<string> {
    await rig.map(`obj_${eventId}`, tenant);
    const id = await rig.store(eventId);
    await rig.drain();
    assert.equal((await rig.event(eventId)).state, 'done');
    return id;
  }
  const setState = (eventId: string, state: string) =>
    database.asSuperuser('update inbox.events set state = $2 where event_id = $1', [eventId, state]);

  it('replays an event that is done: handled again as a new run, one audit row in its tenant', async () => {
    const id = await done('evt_replay');
    const result = await json('webhooks', 'replay', id, '--reason', 'drill');
    assert.deepEqual(result.queued, [id]);
    const [row, ...more] = await audited();
    assert.equal(more.length, 0);
    assert.deepEqual([row?.tenant_id, row?.action, row?.object_id], [tenant, 'webhooks.replay', id]);
    assert.match(row?.actor_id ?? '', /^cli:/);
    assert.deepEqual(row?.details, { reason: 'drill', run: 2 });
    assert.deepEqual(await rig.drain(), ['done']);
    assert.equal((await rig.event('evt_replay')).run, 2);
  });

  it('replays past the signature window: age is never looked at again', async () => {
    const id = await done('evt_old');
    await database.asSuperuser(`update inbox.events set received_at = now() - interval '300 days'`);
    assert.deepEqual((await json('webhooks', 'replay', '--until', '200d', '--reason', 'drill')).queued, [id]);
    assert.deepEqual(await rig.drain(), ['done']);
  });

  it('skips an event that was replayed moments ago', async () => {
    const id = await done('evt_cool');
    await json('webhooks', 'replay', id, '--reason', 'drill');
    await rig.drain();
    const again = await json('webhooks', 'replay', id, '--reason', 'nervous');
    assert.deepEqual([again.queued, again.skipped_cooldown], [[], 1]);
    await database.asSuperuser(`update inbox.events set replayed_at = now() - interval '31 seconds'`);
    assert.equal((await json('webhooks', 'replay', id, '--reason', 'later')).queued.length, 1);
  });

  it('queues an event once when many operators replay it at the same moment', async () => {
    const id = await done('evt_many');
    const results = await Promise.all(
      Array.from({ length: 8 }, () =>
        requeueEvents(ops, {
          verb: 'replay',
          filter: { ids: [id] },
          limit: 10,
          dryRun: false,
          reason: 'race',
          actor: { kind: 'system', id: 'test' },
        }),
      ),
    );
    assert.equal(results.flatMap((result) => result.queued).length, 1);
    assert.equal((await audited()).length, 1);
  });

  it('changes nothing in a dry run and says what it would do', async () => {
    const id = await done('evt_dry');
    const result = await json('webhooks', 'replay', '--type', TYPE, '--dry-run');
    assert.deepEqual([result.dry_run, result.queued], [true, [id]]);
    assert.equal((await rig.event('evt_dry')).state, 'done');
    assert.equal((await audited()).length, 0);
  });

  it('redrives dead and unmatched events, and leaves those on their way alone', async () => {
    await rig.map('obj_evt_dead', tenant);
    await rig.store('evt_dead');
    await setState('evt_dead', 'dead');
    await rig.store('evt_unmatched');
    await setState('evt_unmatched', 'unmatched');
    const waiting = await rig.store('evt_waiting');
    await done('evt_done');
    const result = await json('webhooks', 'redrive', '--type', TYPE, '--reason', 'fixed');
    assert.equal(result.queued.length, 2);
    const named = await json('webhooks', 'redrive', waiting, 'evt_done', '--reason', 'fixed');
    assert.deepEqual([named.queued, named.skipped_state], [[], 2]);
    const tenants = (await audited()).map((row) => row.tenant_id);
    assert.deepEqual(new Set(tenants), new Set([SYSTEM_TENANT_ID]), 'never routed: the platform is told');
  });

  it('replays ignored events once a handler exists', async () => {
    const id = await rig.store('evt_ignored', { type: 'weather.changed' });
    await rig.drain();
    assert.deepEqual((await json('webhooks', 'replay', '--type', 'weather.changed', '--reason', 'new')).queued, [id]);
  });

  it('selects by time range, to the limit, and says that there may be more', async () => {
    const ids = [];
    for (let i = 0; i < 5; i += 1) {
      ids.push(await done(`evt_range_${i}`));
      await database.asSuperuser('update inbox.events set received_at = $2 where event_id = $1', [
        `evt_range_${i}`,
        `2026-03-0${i + 1}T00:00:00Z`,
      ]);
    }
    const range = ['--since', '2026-03-02T00:00:00Z', '--until', '2026-03-05T00:00:00Z', '--reason', 'range'];
    const some = await json('webhooks', 'replay', ...range, '--limit', '2');
    assert.deepEqual([some.queued, some.limit_reached], [[ids[1], ids[2]], true]);
    const rest = await json('webhooks', 'replay', ...range);
    assert.deepEqual([rest.queued, rest.limit_reached], [[ids[3]], false]);
  });

  it('replays more than one page in one call', async () => {
    await rig.map('obj_bulk', tenant);
    await database.asSuperuser(
      `insert into inbox.events (id, provider, event_id, type, raw, received_at, verdict, state, tenant_id)
       select 'evt_bulk' || lpad(n::text, 5, '0'), 'stripe', 'bulk' || n, 'bulk.type', '', now(), 'g', 'done',
         case when n % 2 = 0 then $1::text else $2::text end
       from generate_series(1, 1203) n`,
      [tenant, newId('ten')],
    );
    const result = await json('webhooks', 'replay', '--type', 'bulk.type', '--reason', 'bulk', '--limit', '5000');
    assert.equal(result.queued.length, 1203);
    assert.equal((await audited()).length, 1203);
  });

  it('refuses to replay everything there is, or without a reason', async () => {
    const all = await klar('webhooks', 'replay', '--reason', 'oops', '--json');
    assert.equal(all.code, 1);
    assert.equal(JSON.parse(all.err).error.code, 'selector_required');
    const mute = await klar('webhooks', 'replay', 'evt_x', '--json');
    assert.equal(JSON.parse(mute.err).error.code, 'reason_required');
    assert.equal((await klar('webhooks', 'list', '--since', 'yesterday')).code, 64);
    assert.equal((await klar('webhooks', 'list', '--state', 'lost')).code, 64);
  });

  it('lists newest first in pages, and by each filter', async () => {
    for (let i = 0; i < 5; i += 1) await rig.store(`evt_list_${i}`);
    await rig.store('evt_list_other', { type: 'weather.changed' });
    await rig.drain();
    const seen: string[] = [];
    for (let before: string | null = null; ; ) {
      const page: { data: { event_id: string }[]; next_before: string | null } = await json(
        'webhooks',
        'list',
        '--limit',
        '2',
        ...(before === null ? [] : ['--before', before]),
      );
      seen.push(...page.data.map((event) => event.event_id));
      before = page.next_before;
      if (before === null) break;
    }
    assert.deepEqual(seen, ['evt_list_other', ...[4, 3, 2, 1, 0].map((i) => `evt_list_${i}`)]);
    const count = async (...argv: string[]) => (await json('webhooks', 'list', ...argv)).data.length;
    assert.equal(await count('--state', 'ignored'), 1);
    assert.equal(await count('--type', TYPE), 5);
    assert.equal(await count('--object', 'obj_evt_list_2'), 1);
    assert.equal(await count('--provider', 'livekit'), 0);
    assert.equal(await count('--since', '1h'), 6);
    assert.equal(await count('--until', '1h'), 0);
    assert.equal(await count('--tenant', tenant), 0);
  });

  it("shows an event by our id or the provider's, and its payload only with an audited look", async () => {
    const id = await done('evt_show');
    const shown = await json('webhooks', 'show', 'evt_show');
    assert.equal(shown.data[0].id, id);
    assert.equal('raw' in shown.data[0], false);
    assert.equal((await audited()).length, 0);
    const raw = await json('webhooks', 'show', id, '--raw');
    assert.equal(JSON.parse(raw.data[0].raw).id, 'evt_show');
    const [row] = await audited();
    assert.deepEqual([row?.action, row?.tenant_id, row?.object_id], ['webhooks.read_payload', tenant, id]);
    assert.equal((await klar('webhooks', 'show', 'evt_nowhere')).code, 1);
    assert.match((await klar('webhooks', 'list')).out, /evt_show/);
    assert.match((await klar('webhooks', 'replay', id, '--dry-run')).out, /1 would be queued again/);
  });

  it('works for the api as klar_api, which never reads a payload', async () => {
    const api = database.db('klar_api');
    const id = await done('evt_api');
    assert.equal((await listEvents(api, {}, { before: null, limit: 10 })).length, 1);
    const result = await requeueEvents(api, {
      verb: 'replay',
      filter: { type: TYPE },
      limit: 10,
      dryRun: false,
      reason: 'by route',
      actor: { kind: 'platform', id: 'admin-token' },
    });
    assert.deepEqual(result.queued, [id]);
  });

  it('does not replay an event whose payload was dropped by its age, as klar_ops and as klar_api', async () => {
    const id = await done('evt_old');
    await database.asSuperuser("update inbox.events set raw = '', raw_dropped_at = now() where id = $1", [id]);
    for (const db of [ops, database.db('klar_api')]) {
      const result = await requeueEvents(db, {
        verb: 'replay',
        filter: { ids: [id] },
        limit: 10,
        dryRun: false,
        reason: 'too late',
        actor: { kind: 'system', id: 'test' },
      });
      assert.deepEqual([result.queued, result.skipped_state], [[], 1]);
    }
    assert.equal((await rig.event('evt_old')).state, 'done');
  });
});
