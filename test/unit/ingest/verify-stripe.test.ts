import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Verified } from '../../../services/webhook-ingest/verify/provider.ts';
import { stripe, TOLERANCE_S } from '../../../services/webhook-ingest/verify/stripe.ts';
import { stripeEvent, stripeSignature } from './signature.ts';

const NOW_S = 1_770_000_000;
const CURRENT = { value: 'whsec_current', generation: 'g2' };
const PREVIOUS = { value: 'whsec_previous', generation: 'g1' };

function verify(
  body: string | Buffer,
  header: string | string[] | undefined,
  { nowMs = NOW_S * 1_000, secrets = [CURRENT, PREVIOUS] } = {},
): Verified {
  return stripe.verify({ headers: { 'stripe-signature': header }, body: Buffer.from(body), secrets, nowMs });
}

const signed = (body: string | Buffer, atS = NOW_S, secret = CURRENT.value) =>
  verify(body, stripeSignature(body, secret, atS));

const reason = (verified: Verified) => (verified.ok ? 'ok' : verified.reason);

describe('Stripe signatures', () => {
  it('takes an event signed with the current secret and reads only its key', () => {
    const verified = signed(stripeEvent('evt_1', { account: 'acct_1' }));
    assert.deepEqual(verified, {
      ok: true,
      generation: 'g2',
      key: { eventId: 'evt_1', type: 'checkout.session.completed', account: 'acct_1', livemode: false },
    });
  });

  it('takes the previous secret during a rotation and says which one it was', () => {
    const verified = signed(stripeEvent('evt_1'), NOW_S, PREVIOUS.value);
    assert.equal(verified.ok && verified.generation, 'g1');
  });

  it('takes a header with several signatures when any of them is ours', () => {
    const body = stripeEvent('evt_1');
    const foreign = stripeSignature(body, 'whsec_other', NOW_S).split(',')[1];
    assert.equal(reason(verify(body, `${stripeSignature(body, CURRENT.value, NOW_S)},${foreign},v0=abc`)), 'ok');
    const ours = stripeSignature(body, CURRENT.value, NOW_S).split(',')[1];
    assert.equal(reason(verify(body, `t=${NOW_S},${foreign},${ours}`)), 'ok');
  });

  it('uses an empty account for the platform itself', () => {
    const verified = signed(stripeEvent('evt_1'));
    assert.equal(verified.ok && verified.key.account, '');
  });

  it('refuses a body that was changed, cut short, or signed with another secret', () => {
    const body = stripeEvent('evt_1');
    const header = stripeSignature(body, CURRENT.value, NOW_S);
    assert.equal(reason(verify(body.replace('evt_1', 'evt_2'), header)), 'bad_signature');
    assert.equal(reason(verify(body.slice(0, -1), header)), 'bad_signature');
    assert.equal(reason(signed(body, NOW_S, 'whsec_other')), 'bad_signature');
    assert.equal(reason(verify(body, header, { secrets: [PREVIOUS] })), 'bad_signature');
  });

  it('refuses a signature whose time was changed', () => {
    const body = stripeEvent('evt_1');
    const old = stripeSignature(body, CURRENT.value, NOW_S - 10_000);
    assert.equal(reason(verify(body, old.replace(`t=${NOW_S - 10_000}`, `t=${NOW_S}`))), 'bad_signature');
  });

  it('takes times up to 300 s away, both ways, and none beyond', () => {
    const body = stripeEvent('evt_1');
    assert.equal(reason(signed(body, NOW_S - TOLERANCE_S)), 'ok');
    assert.equal(reason(signed(body, NOW_S + TOLERANCE_S)), 'ok');
    assert.equal(reason(signed(body, NOW_S - TOLERANCE_S - 1)), 'stale');
    assert.equal(reason(signed(body, NOW_S + TOLERANCE_S + 1)), 'future');
  });

  it('refuses a missing header and every malformed one', () => {
    const body = stripeEvent('evt_1');
    const good = stripeSignature(body, CURRENT.value, NOW_S);
    assert.equal(reason(verify(body, undefined)), 'missing_signature');
    assert.equal(reason(verify(body, '')), 'missing_signature');
    assert.equal(reason(verify(body, [good, good])), 'missing_signature');
    for (const header of [
      'nonsense',
      `t=${NOW_S}`,
      good.split(',')[1] ?? '',
      `t=${NOW_S},v1=xyz`,
      `t=${NOW_S},v1=`,
      `t=,${good.split(',')[1]}`,
      `t=1e9,${good.split(',')[1]}`,
      `t=-5,${good.split(',')[1]}`,
      `t=${NOW_S},t=${NOW_S},${good.split(',')[1]}`,
      `t=${'9'.repeat(400)},${good.split(',')[1]}`,
      `t=${NOW_S}${`,v1=${'a'.repeat(64)}`.repeat(9)}`,
    ]) {
      assert.equal(reason(verify(body, header)), 'malformed_signature', header);
    }
  });

  it('refuses, though signed, what is no event or what no column could hold', () => {
    for (const body of [
      '',
      'null',
      '[]',
      '"evt"',
      '{',
      stripeEvent('evt_1').slice(0, -1),
      '{"id":1,"type":"a"}',
      '{"id":"evt_1"}',
      '{"id":"","type":"a"}',
      '{"id":"evt\\u0000_1","type":"a"}',
      '{"id":"evt_1","type":"a\\ud800"}',
      '{"id":"evt_1","type":"a","account":7}',
      `{"id":"${'e'.repeat(256)}","type":"a"}`,
      '{"id":"evt_1","type":"a"}\u0000',
      Buffer.concat([Buffer.from('{"id":"evt_1","type":"a","x":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]),
    ]) {
      assert.equal(reason(signed(body)), 'malformed_body', String(body).slice(0, 60));
    }
  });

  it('takes a payload with NUL escapes or half a million levels: the key is fine, the rest is kept raw', () => {
    assert.equal(reason(signed('{"id":"evt_1","type":"a","data":"\\u0000"}')), 'ok');
    const deep = `{"id":"evt_1","type":"a","data":${'['.repeat(500_000)}${']'.repeat(500_000)}}`;
    assert.equal(reason(signed(deep)), 'ok');
  });

  it('is not fooled by keys named like properties of objects', () => {
    const verified = signed('{"__proto__":{"id":"evt_x","type":"b"},"id":"evt_1","type":"a"}');
    assert.equal(verified.ok && verified.key.eventId, 'evt_1');
    assert.equal(reason(signed('{"__proto__":{"id":"evt_x","type":"b"}}')), 'malformed_body');
  });

  it('never throws and never takes an unsigned body, whatever arrives', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.string({ maxLength: 200, unit: 'binary' }), (bytes, header) => {
        assert.equal(verify(Buffer.from(bytes), header).ok, false);
      }),
    );
  });
});
