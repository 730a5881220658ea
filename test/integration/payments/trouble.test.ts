import assert from 'node:assert/strict';
import { refusal } from '../../support/refusals.ts';
import { type FakeGateway, fakeGateway } from './fake-gateway.ts';
import { createRig, type Purchase, type Rig } from './rig.ts';

const HOUR = 60 * 60 * 1000;

describe('a provider in trouble', () => {
  let rig: Rig;
  let gateway: FakeGateway;
  before(async () => {
    gateway = fakeGateway({ now: () => rig.clock.now() });
    // Nobody is calling in the meantime here: what is leased, is leased by the dead.
    rig = await createRig(gateway, { waitMs: 200 });
  });
  after(() => rig.close());

  const attempts = (purchase: Purchase) => rig.rows('payment_attempts', purchase.school);
  const states = async (purchase: Purchase) => (await attempts(purchase)).map((row) => row.state);
  /** What a crash leaves behind: leases whose holder is gone. */
  const forgetLeases = () =>
    rig.database.asSuperuser(`update app.payment_attempts set lease_until = now() - interval '1 second'`);
  const sessionsOf = (purchase: Purchase) =>
    [...gateway.sessions.values()].filter((s) => s.observation.orderId === purchase.order.id);

  for (const applied of [true, false]) {
    it(`makes one session when the answer is lost ${applied ? 'after' : 'before'} the provider acted`, async () => {
      const purchase = await rig.purchase();
      gateway.fault({ operation: 'create', outcome: 'unknown', applied });
      await assert.rejects(rig.session(purchase), (error: Error & { extra?: { retryAfterS?: number } }) => {
        assert.equal(error.extra?.retryAfterS, 2);
        return refusal('payment_unknown')(error);
      });
      assert.deepEqual(await states(purchase), ['unknown']);
      assert.equal((await rig.rows('payments', purchase.school))[0]?.state, 'unknown');
      assert.equal((await rig.rows('orders', purchase.school))[0]?.status, 'pending');
      const session = await rig.session(purchase);
      assert.equal(sessionsOf(purchase).length, 1);
      assert.equal(sessionsOf(purchase)[0]?.observation.sessionId, session.sessionId);
      assert.deepEqual(await states(purchase), ['open']);
    });
  }

  it('is asked again by the worker when nobody comes back', async () => {
    const purchase = await rig.purchase();
    gateway.fault({ operation: 'create', outcome: 'unknown', applied: true });
    await assert.rejects(rig.session(purchase), refusal('payment_unknown'));
    assert.ok((await rig.jobs('payments.resolve_attempt')) > 0);
    assert.deepEqual(await states(purchase), ['open']);
    assert.equal(sessionsOf(purchase).length, 1);
  });

  it('resolves what is unknown before it makes a session of another kind', async () => {
    const purchase = await rig.purchase();
    gateway.fault({ operation: 'create', outcome: 'unknown', applied: true });
    await assert.rejects(rig.session(purchase), refusal('payment_unknown'));
    await rig.session(purchase, 'form');
    assert.deepEqual(await states(purchase), ['void', 'open']);
    assert.deepEqual(
      sessionsOf(purchase).map((s) => s.observation.status),
      ['expired', 'open'],
    );
  });

  it('survives a crash between the attempt and the call, and between the call and its record', async () => {
    for (const made of [false, true]) {
      const purchase = await rig.purchase();
      const { school } = purchase;
      // The row as it is committed before the call; the process dies there.
      gateway.fault({ operation: 'create', outcome: 'unknown', applied: made });
      await assert.rejects(rig.session(purchase), refusal('payment_unknown'));
      await rig.database.asSuperuser(
        `update app.payment_attempts set state = 'created', lease_token = 'dead', lease_until = now() + interval '30 s',
           last_error = null where tenant_id = $1`,
        [school.id],
      );
      await assert.rejects(rig.session(purchase), refusal('payment_in_progress'));
      await forgetLeases();
      await rig.session(purchase);
      assert.equal(sessionsOf(purchase).length, 1);
      assert.deepEqual(await states(purchase), ['open']);
    }
  });

  it('is searched by our attempt id when the key may have been forgotten', async () => {
    const found = await rig.purchase();
    const gone = await rig.purchase();
    gateway.fault({ operation: 'create', outcome: 'unknown', applied: true });
    await assert.rejects(rig.session(found), refusal('payment_unknown'));
    gateway.fault({ operation: 'create', outcome: 'unknown', applied: false });
    await assert.rejects(rig.session(gone), refusal('payment_unknown'));
    rig.clock.advance(24 * HOUR);
    gateway.forgetKeys();
    for (const { observation } of sessionsOf(found)) {
      gateway.change(observation.sessionId, { expiresAt: new Date(rig.clock.now().getTime() + HOUR) });
    }
    await rig.session(found);
    assert.equal(sessionsOf(found).length, 1);
    assert.deepEqual(await states(found), ['open']);
    // Not there: only then may another be made.
    await rig.session(gone);
    assert.deepEqual(await states(gone), ['void', 'open']);
    assert.equal(sessionsOf(gone).length, 1);
  });

  it('is searched when it repeats a stored 500', async () => {
    const purchase = await rig.purchase();
    gateway.fault({ operation: 'create', outcome: 'unknown', code: 'provider_error', times: 3 });
    await assert.rejects(rig.session(purchase), refusal('payment_unknown'));
    await assert.rejects(rig.session(purchase), refusal('payment_unknown'));
    rig.clock.advance(11 * 60 * 1000);
    await rig.session(purchase);
    assert.deepEqual(await states(purchase), ['void', 'open']);
  });

  it('says busy: nothing was made, and the next request makes it', async () => {
    const purchase = await rig.purchase();
    gateway.fault({ operation: 'create', outcome: 'busy' });
    await assert.rejects(rig.session(purchase), refusal('provider_busy'));
    assert.deepEqual(await states(purchase), ['created']);
    await rig.session(purchase);
    assert.deepEqual(await states(purchase), ['open']);
  });

  it('refuses: the order stays as it was, and can be paid when the reason is gone', async () => {
    const purchase = await rig.purchase();
    gateway.fault({ operation: 'create', outcome: 'refused', code: 'amount_too_small' });
    await assert.rejects(rig.session(purchase), (error: Error & { detail?: string }) => {
      assert.match(error.detail ?? '', /amount_too_small/);
      return refusal('provider_refused')(error);
    });
    assert.deepEqual(await states(purchase), ['void']);
    assert.equal((await rig.rows('orders', purchase.school))[0]?.status, 'pending');
    await rig.session(purchase);
    assert.deepEqual(await states(purchase), ['void', 'open']);
  });

  it('does not know our key: payments are unavailable, and nothing is left open', async () => {
    const purchase = await rig.purchase();
    gateway.fault({ operation: 'create', outcome: 'misconfigured' });
    await assert.rejects(rig.session(purchase), refusal('payments_unavailable'));
    assert.deepEqual(await states(purchase), ['void']);
    // After a lost answer a refused key proves nothing: the attempt stays unknown.
    const lost = await rig.purchase();
    gateway.fault({ operation: 'create', outcome: 'unknown', applied: true });
    await assert.rejects(rig.session(lost), refusal('payment_unknown'));
    gateway.fault({ operation: 'create', outcome: 'misconfigured' });
    await assert.rejects(rig.session(lost), refusal('payments_unavailable'));
    assert.deepEqual(await states(lost), ['unknown']);
  });

  it('does not answer while a session is closed: no other is made until that is confirmed', async () => {
    const purchase = await rig.purchase();
    await rig.session(purchase);
    for (const applied of [false, true]) {
      gateway.fault({ operation: 'expire', outcome: 'unknown', applied });
      await assert.rejects(rig.session(purchase, 'elements'), refusal('payment_unknown'));
      assert.deepEqual(await states(purchase), ['expiring']);
    }
    await rig.session(purchase, 'elements');
    assert.deepEqual(await states(purchase), ['void', 'open']);
    assert.equal(sessionsOf(purchase).filter((s) => s.observation.status === 'open').length, 1);
  });

  it('has forgotten a session that is to be closed: another is made', async () => {
    const purchase = await rig.purchase();
    const { sessionId } = await rig.session(purchase);
    gateway.sessions.delete(sessionId);
    await assert.rejects(rig.session(purchase, 'form'), refusal('payment_unknown'));
    await rig.session(purchase, 'form');
    assert.deepEqual(await states(purchase), ['void', 'open']);
  });

  it('replaces a session that is about to run out', async () => {
    const purchase = await rig.purchase();
    const first = await rig.session(purchase);
    rig.clock.advance(24 * HOUR - 60_000);
    const second = await rig.session(purchase);
    assert.notEqual(second.sessionId, first.sessionId);
    assert.deepEqual(await states(purchase), ['void', 'open']);
  });

  it('cannot be asked for an amount that its units cannot express', async () => {
    const purchase = await rig.purchase({ amount: 4900, currency: 'USD' });
    const { createSession } = gateway;
    const { fail } = await import('#platform/errors/index.ts');
    gateway.createSession = async () => {
      throw fail.unprocessable('amount_not_payable', 'no');
    };
    await assert.rejects(rig.session(purchase), refusal('amount_not_payable'));
    gateway.createSession = createSession;
    assert.deepEqual(await states(purchase), ['void']);
  });

  it('has its open attempts limited by the database itself', async () => {
    const purchase = await rig.purchase();
    await rig.session(purchase);
    await assert.rejects(
      rig.database.asSuperuser(
        `insert into app.payment_attempts (tenant_id, id, payment_id, order_id, provider, livemode, ui_mode, state,
           amount, currency, request, created_at, updated_at)
         select tenant_id, id || 'x', payment_id, order_id, 'bakong', livemode, 'qr', 'created', amount, currency,
           request, created_at, updated_at from app.payment_attempts where tenant_id = $1`,
        [purchase.school.id],
      ),
      /payment_attempts_one_open/,
    );
    for (const state of ['paid', 'nonsense']) {
      await assert.rejects(
        rig.database.asSuperuser('update app.payments set state = $2 where tenant_id = $1', [
          purchase.school.id,
          state,
        ]),
        /check constraint/,
      );
    }
  });
});
