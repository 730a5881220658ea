import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type EventHandler, eventHandler } from '#domain/webhooks/index.ts';
import { decideRoute, HandlerTable, observeReceived } from '../../../services/domain/webhooks/route.ts';

const handler = (objectIds: EventHandler['objectIds'], type = 'a'): EventHandler =>
  eventHandler({ provider: 'stripe', type, objectIds, prepare: async () => undefined, apply: async () => 'done' });

const row = (payload: unknown, more: object = {}) => ({
  id: 'evt_1',
  provider: 'stripe',
  account: '',
  type: 'a',
  raw: Buffer.from(JSON.stringify(payload)),
  attempts: 0,
  ...more,
});

describe('routing an event', () => {
  const table = new HandlerTable([handler((payload) => (payload as { ids: string[] }).ids)]);

  it('prefers the object that the handler names first', () => {
    const received = observeReceived(row({ ids: ['cs_1', 'pi_1'] }), table);
    const tenants = new Map([
      ['stripe  pi_1', 'ten_2'],
      ['stripe  cs_1', 'ten_1'],
    ]);
    assert.equal(decideRoute(received, tenants, 0).tenantId, 'ten_1');
    tenants.delete('stripe  cs_1');
    const second = decideRoute(received, tenants, 0);
    assert.deepEqual([second.state, second.tenantId, second.objectIds], ['ready', 'ten_2', ['cs_1', 'pi_1']]);
  });

  it('ignores a type without a handler, also one of another provider', () => {
    for (const more of [{ type: 'b' }, { provider: 'livekit' }]) {
      const route = decideRoute(observeReceived(row({ ids: ['cs_1'] }, more), table), new Map(), 0);
      assert.equal(route.state, 'ignored');
    }
  });

  it('uses only ids that a provider could have made, and at most eight of them', () => {
    const strange = [
      '',
      'a b',
      'a\u0000',
      'å',
      'x'.repeat(256),
      7,
      null,
      ...Array.from({ length: 20 }, (_, i) => `ok_${i}`),
    ];
    const received = observeReceived(row({ ids: strange }), table);
    assert.deepEqual(
      received.objects.map((object) => object.objectId),
      Array.from({ length: 8 }, (_, i) => `ok_${i}`),
    );
  });

  it('never throws, whatever the payload and whatever the extractor does with it', () => {
    const wild = new HandlerTable([handler((payload) => (payload as { a: { b: string[] } }).a.b)]);
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        const received = observeReceived(row(null, { raw: Buffer.from(text) }), wild);
        const route = decideRoute(received, new Map(), 0.5);
        assert.ok(['dead', 'unmatched', 'received'].includes(route.state), route.state);
      }),
    );
  });

  it('sets an event aside whose payload leads the extractor nowhere', () => {
    const wild = new HandlerTable([handler((payload) => (payload as { a: { b: string[] } }).a.b)]);
    const received = observeReceived(row(null, { raw: Buffer.from('{"a":""}') }), wild);
    assert.equal(received.verdict?.state, 'unmatched');
  });

  it('refuses two handlers for one type', () => {
    assert.throws(() => new HandlerTable([handler(() => []), handler(() => [])]), /two handlers/);
  });
});
