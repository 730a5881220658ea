import assert from 'node:assert/strict';
import { newId } from '#platform/ids/index.ts';
import type { RunningApi } from '../../../services/api/main.ts';
import { startTestApi } from '../../support/api.ts';
import { ApiClient } from '../../support/client.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createRig, type Rig, TYPE } from './rig.ts';

type EventView = { id: string; event_id: string; state: string; run: number };
type Page = { data: EventView[]; next_cursor: string | null };
type Outcome = { queued: string[]; skipped_state: number; skipped_cooldown: number; dry_run: boolean };

describe('the routes of stored events', () => {
  const tenant = newId('ten');
  let database: TestDatabase;
  let api: RunningApi;
  let admin: ApiClient;
  let rig: Rig;
  before(async () => {
    database = await createTestDatabase();
    rig = createRig(database);
    ({ api, admin } = await startTestApi(database));
    for (let i = 0; i < 5; i += 1) {
      await rig.map(`obj_evt_${i}`, tenant);
      await rig.store(`evt_${i}`);
    }
    await rig.store('evt_other', { type: 'weather.changed' });
    await rig.drain();
  });
  after(async () => {
    await api.stop();
    await database.close();
  });

  it('list newest first, in pages, by filter, and never a payload', async () => {
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page: Page = await admin.expect<Page>(200, 'GET', `/api/admin/webhooks?limit=4${query}`);
      for (const event of page.data) {
        assert.equal('raw' in event, false);
        seen.push(event.event_id);
      }
      cursor = page.next_cursor;
    } while (cursor !== null);
    assert.deepEqual(seen, ['evt_other', 'evt_4', 'evt_3', 'evt_2', 'evt_1', 'evt_0']);
    const count = async (query: string) =>
      (await admin.expect<Page>(200, 'GET', `/api/admin/webhooks?${query}`)).data.length;
    assert.equal(await count(`type=${TYPE}&state=done&provider=stripe&tenant_id=${tenant}`), 5);
    assert.equal(await count('object_id=obj_evt_3'), 1);
    assert.equal(await count('until=2020-01-01T00:00:00Z'), 0);
    await admin.expect(400, 'GET', '/api/admin/webhooks?state=lost');
    await admin.expect(422, 'GET', '/api/admin/webhooks?cursor=forged.cursor');
  });

  it('show one by our id only', async () => {
    const { id } = await rig.event('evt_0');
    const shown = await admin.expect<EventView>(200, 'GET', `/api/admin/webhooks/${id}`);
    assert.deepEqual([shown.event_id, shown.state], ['evt_0', 'done']);
    await admin.expect(404, 'GET', '/api/admin/webhooks/evt_0');
    await admin.expect(404, 'GET', `/api/admin/webhooks/${newId('evt')}`);
  });

  it('replay and redrive with a reason, audited as the platform in the tenant of the event', async () => {
    const { id } = await rig.event('evt_1');
    const body = { ids: [id], reason: 'customer asked' };
    const dry = await admin.expect<Outcome>(200, 'POST', '/api/admin/webhooks/replay', {
      body: { ...body, dry_run: true },
    });
    assert.deepEqual([dry.queued, dry.dry_run], [[id], true]);
    assert.equal((await rig.event('evt_1')).run, 1);
    const done = await admin.expect<Outcome>(200, 'POST', '/api/admin/webhooks/replay', { body });
    assert.deepEqual(done.queued, [id]);
    const wrong = await admin.expect<Outcome>(200, 'POST', '/api/admin/webhooks/redrive', { body });
    assert.deepEqual([wrong.queued, wrong.skipped_state], [[], 1]);
    assert.deepEqual(await rig.drain(), ['done']);
    const rows = await database.asSuperuser<{ tenant_id: string; actor_kind: string; details: object }>(
      `select tenant_id, actor_kind, details from app.audit_pending where object_id = $1 and action = 'webhooks.replay'`,
      [id],
    );
    assert.deepEqual(rows, [
      { tenant_id: tenant, actor_kind: 'platform', details: { reason: 'customer asked', run: 2 } },
    ]);
  });

  it('refuse to select everything, an empty reason, and whoever is no administrator', async () => {
    const all = await admin.expect<{ code: string }>(422, 'POST', '/api/admin/webhooks/replay', {
      body: { reason: 'all' },
    });
    assert.equal(all.code, 'selector_required');
    await admin.expect(400, 'POST', '/api/admin/webhooks/redrive', { body: { type: TYPE, reason: '' } });
    const { client } = await new ApiClient(`http://127.0.0.1:${api.port}`).register('nobody');
    await client.expect(404, 'GET', '/api/admin/webhooks');
    await client.expect(404, 'POST', '/api/admin/webhooks/replay', { body: { type: TYPE, reason: 'mine' } });
  });
});
