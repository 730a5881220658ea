import assert from 'node:assert/strict';
import {
  createStripeGateway,
  type Gateway,
  GatewayError,
  type GatewayOutcome,
  type SessionRequest,
  STRIPE_API_VERSION,
  UI_MODES,
} from '#domain/payments/index.ts';
import { newId } from '#platform/ids/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { type Rig as SandboxRig, SECRET_KEY, startRig } from '../sandbox/start-sandbox.ts';
import { type FakeGateway, fakeGateway } from './fake-gateway.ts';

/** A person at the provider's page. */
interface Payer {
  pay(sessionId: string): Promise<void>;
  decline(sessionId: string): Promise<void>;
  payLater(sessionId: string): Promise<void>;
  settle(sessionId: string, succeeds: boolean): Promise<void>;
  payAgain(sessionId: string): Promise<void>;
}

const request = (overrides: Partial<SessionRequest> = {}): SessionRequest => ({
  orderId: newId('ord'),
  attemptId: newId('att'),
  amount: 5200,
  currency: 'USD',
  uiMode: 'hosted_page',
  lines: [
    { title: 'Swedish for the curious', unitAmount: 4900, quantity: 1 },
    { title: 'Coffee', unitAmount: 150, quantity: 2 },
  ],
  email: 'student@example.com',
  successUrl: 'https://klar.test/checkout/return?session_id={CHECKOUT_SESSION_ID}',
  cancelUrl: 'https://klar.test/checkout/cancel',
  ...overrides,
});

const failsAs = (outcome: GatewayOutcome, code?: string) => (error: unknown) => {
  assert.ok(error instanceof GatewayError, String(error));
  assert.equal(error.outcome, outcome);
  if (code !== undefined) assert.equal(error.code, code);
  return true;
};

/** What Klar relies on, whoever is behind the gateway. */
function contract(name: string, use: () => { gateway: Gateway; payer: Payer }): void {
  describe(`payment gateway: ${name}`, () => {
    const make = (overrides?: Partial<SessionRequest>) => use().gateway.createSession(request(overrides));

    for (const uiMode of UI_MODES) {
      it(`makes a session of ${uiMode} that says what it was made of`, async () => {
        const wanted = request({ uiMode });
        const made = await use().gateway.createSession(wanted);
        const { orderId, attemptId } = wanted;
        const expected = { status: 'open', money: 'none', amount: 5200, currency: 'USD', captured: 0, refunded: 0 };
        assert.deepEqual({ ...made, ...expected, orderId, attemptId, livemode: false, account: '' }, made);
        assert.equal(made.url !== undefined, uiMode === 'hosted_page');
        assert.equal(made.clientSecret !== undefined, uiMode !== 'hosted_page');
        assert.ok(made.expiresAt.getTime() > Date.now() + 20 * 60 * 60 * 1000);
      });
    }

    it('answers with the same session to the same attempt', async () => {
      const wanted = request();
      const [a, b] = [await use().gateway.createSession(wanted), await use().gateway.createSession(wanted)];
      assert.equal(a.sessionId, b.sessionId);
    });

    it('says yen as yen', async () => {
      const made = await make({
        amount: 500,
        currency: 'JPY',
        lines: [{ title: 'Tea', unitAmount: 500, quantity: 1 }],
      });
      assert.deepEqual([made.amount, made.currency], [500, 'JPY']);
    });

    it('has the money, the method and the receipt once it is paid', async () => {
      const { gateway, payer } = use();
      const { sessionId, orderId, attemptId } = await make();
      await payer.pay(sessionId);
      const seen = await gateway.fetchSession({ sessionId });
      const paid = { status: 'complete', money: 'paid', captured: 5200, refunded: 0, orderId, attemptId };
      assert.deepEqual({ ...seen, ...paid, methodType: 'card', methodBrand: 'visa', methodLast4: '4242' }, seen);
      assert.match(seen.receiptUrl ?? '', /^https?:/);
      assert.ok(seen.paymentIntentId && seen.chargeId);
      assert.deepEqual([seen.url, seen.clientSecret], [undefined, undefined]);
    });

    it('stays open after a decline, and says why', async () => {
      const { gateway, payer } = use();
      const { sessionId } = await make();
      await payer.decline(sessionId);
      const seen = await gateway.fetchSession({ sessionId });
      assert.deepEqual([seen.status, seen.money], ['open', 'none']);
      assert.equal(seen.lastError, 'generic_decline');
    });

    for (const succeeds of [true, false]) {
      it(`waits for a delayed method that ${succeeds ? 'succeeds' : 'fails'}`, async () => {
        const { gateway, payer } = use();
        const { sessionId } = await make();
        await payer.payLater(sessionId);
        const waiting = await gateway.fetchSession({ sessionId });
        assert.deepEqual([waiting.status, waiting.money, waiting.captured], ['complete', 'processing', 0]);
        await payer.settle(sessionId, succeeds);
        const settled = await gateway.fetchSession({ sessionId });
        assert.deepEqual([settled.money, settled.captured], succeeds ? ['paid', 5200] : ['failed', 0]);
      });
    }

    it('closes an open session, and says so again', async () => {
      const { gateway } = use();
      const { sessionId } = await make();
      for (const key of ['a', 'b']) {
        const seen = await gateway.expireSession({ sessionId, key: `${sessionId}:${key}` });
        assert.deepEqual([seen.sessionId, seen.status, seen.money], [sessionId, 'expired', 'none']);
      }
    });

    it('does not close a paid session: it says that it is paid', async () => {
      const { gateway, payer } = use();
      const { sessionId } = await make();
      await payer.pay(sessionId);
      const seen = await gateway.expireSession({ sessionId, key: `${sessionId}:a` });
      assert.deepEqual([seen.status, seen.money, seen.captured], ['complete', 'paid', 5200]);
    });

    it('finds a session by our attempt, or says that there is none', async () => {
      const { gateway } = use();
      const wanted = request();
      const made = await gateway.createSession(wanted);
      const createdAt = new Date();
      assert.equal((await gateway.findSession({ attemptId: wanted.attemptId, createdAt }))?.sessionId, made.sessionId);
      assert.equal(await gateway.findSession({ attemptId: newId('att'), createdAt }), undefined);
    });

    it('gives money back once per refund id', async () => {
      const { gateway, payer } = use();
      const { sessionId } = await make();
      await payer.pay(sessionId);
      const { paymentIntentId = '' } = await gateway.fetchSession({ sessionId });
      const refund = { refundId: newId('ref'), paymentIntentId, amount: 200, currency: 'USD', createdAt: new Date() };
      const [a, b] = [await gateway.refund(refund), await gateway.refund(refund)];
      assert.equal(a.providerRefundId, b.providerRefundId);
      assert.equal(a.state, 'succeeded');
      assert.equal((await gateway.fetchSession({ sessionId })).refunded, 200);
      await gateway.refund({ ...refund, refundId: newId('ref'), amount: 5000 });
      const more = gateway.refund({ ...refund, refundId: newId('ref'), amount: 5200 });
      await assert.rejects(more, failsAs('refused', 'charge_already_refunded'));
    });

    it('tells a second payment through one session from the first', async () => {
      const { gateway, payer } = use();
      const { sessionId } = await make();
      await payer.pay(sessionId);
      const first = await gateway.fetchSession({ sessionId });
      await payer.payAgain(sessionId);
      const seen = await gateway.fetchSession({ sessionId, paidBy: first.paymentIntentId });
      assert.equal(seen.paymentIntentId, first.paymentIntentId);
      assert.equal(seen.stray?.captured, 5200);
      const stray = await gateway.fetchPayment(seen.stray?.paymentIntentId ?? '');
      assert.deepEqual([stray.sessionId, stray.money, stray.captured, stray.amount], ['', 'paid', 5200, 5200]);
      assert.equal(stray.orderId, seen.orderId);
    });

    it('refuses what it does not know', async () => {
      const { gateway } = use();
      await assert.rejects(
        gateway.fetchSession({ sessionId: 'cs_test_nothing' }),
        failsAs('refused', 'resource_missing'),
      );
      const close = gateway.expireSession({ sessionId: 'cs_test_nothing', key: 'k' });
      await assert.rejects(close, failsAs('refused', 'resource_missing'));
    });
  });
}

const fake: { gateway: FakeGateway; payer: Payer } = (() => {
  const gateway = fakeGateway();
  const payer: Payer = {
    pay: async (id) => gateway.pay(id),
    decline: async (id) => gateway.change(id, { lastError: 'generic_decline' }),
    payLater: async (id) => gateway.change(id, { status: 'complete', money: 'processing' }),
    settle: async (id, succeeds) => (succeeds ? gateway.pay(id) : gateway.change(id, { money: 'failed' })),
    payAgain: async (id) => gateway.payAgain(id),
  };
  return { gateway, payer };
})();
contract('the fake', () => fake);

describe('payment gateway: Stripe', () => {
  let rig: SandboxRig;
  let stripe: Gateway;
  const metrics = createMetrics();
  const gatewayWith = (overrides: Partial<Parameters<typeof createStripeGateway>[0]> = {}) =>
    createStripeGateway({ secretKey: () => SECRET_KEY, apiBase: rig.url, livemode: false, metrics, ...overrides });
  before(async () => {
    rig = await startRig({ delayedSettleMs: 3_600_000 });
    stripe = gatewayWith();
  });
  after(() => rig.stop());

  const act = async (path: string, body: unknown) => {
    const answer = await rig.control('POST', path, body);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
  };
  const payer: Payer = {
    pay: (id) => act(`/sandbox/checkout/${id}/pay`, { card: '4242424242424242' }),
    decline: (id) => act(`/sandbox/checkout/${id}/pay`, { outcome: 'decline' }),
    payLater: (id) => act(`/sandbox/checkout/${id}/pay`, { method: 'klarna' }),
    settle: (id, succeeds) => act(`/sandbox/checkout/${id}/settle`, { succeeds }),
    payAgain: (id) => act(`/sandbox/double-pay/${id}`, { as: 'same_session' }),
  };
  contract('Stripe by its SDK', () => ({ gateway: stripe, payer }));

  const SESSIONS = '/v1/checkout/sessions';
  const fault = (kind: string, extra: object = {}) =>
    rig.control('POST', '/sandbox/faults', { match: { path: SESSIONS, method: 'POST' }, kind, ...extra });
  afterEach(() => rig.control('DELETE', '/sandbox/faults'));

  it('makes one session when the answer is lost after it was made: the SDK asks again with our key', async () => {
    const wanted = request();
    await fault('timeout_after_applying', { delay_ms: 3_000 });
    const made = await gatewayWith({ timeoutMs: 100 }).createSession(wanted);
    const { data } = await rig.stripe.checkout.sessions.list({ limit: 100 });
    const ours = data.filter((session) => session.metadata?.attempt_id === wanted.attemptId);
    assert.deepEqual(
      ours.map((session) => session.id),
      [made.sessionId],
    );
  });

  it('does not know when the line is dead twice', async () => {
    await fault('drop', { times: 2 });
    await assert.rejects(stripe.createSession(request()), failsAs('unknown', 'no_answer'));
  });

  it('does not know after a 500 that was stored, and finds the session by search', async () => {
    const wanted = request();
    await fault('http_500', { applied: true });
    await assert.rejects(stripe.createSession(wanted), failsAs('unknown', 'provider_error'));
    await assert.rejects(stripe.createSession(wanted), failsAs('unknown', 'provider_error'));
    assert.ok(await stripe.findSession({ attemptId: wanted.attemptId, createdAt: new Date() }));
  });

  it('is not called for who has gone away', async () => {
    const signal = AbortSignal.abort(new Error('gone'));
    await assert.rejects(stripe.createSession(request(), { signal }), /gone/);
  });

  it('is busy when it limits the rate', async () => {
    await fault('http_429', { times: 5 });
    await assert.rejects(stripe.createSession(request()), failsAs('busy'));
  });

  it('does not know when nobody listens', async () => {
    const nobody = gatewayWith({ apiBase: 'http://127.0.0.1:9' });
    await assert.rejects(nobody.fetchSession({ sessionId: 'cs_1' }), failsAs('unknown', 'no_answer'));
  });

  it('is misconfigured with a wrong key, or none', async () => {
    await assert.rejects(
      gatewayWith({ secretKey: () => 'sk_test_wrong' }).createSession(request()),
      failsAs('misconfigured', 'key_refused'),
    );
    await assert.rejects(
      gatewayWith({ secretKey: () => undefined }).createSession(request()),
      failsAs('misconfigured', 'no_key'),
    );
  });

  it('uses a rotated key with the next call', async () => {
    let key = 'sk_test_old';
    const rotating = gatewayWith({ secretKey: () => key });
    await assert.rejects(rotating.createSession(request()), failsAs('misconfigured'));
    key = SECRET_KEY;
    await rotating.createSession(request());
  });

  it('refuses an amount that is too small for it, and one that its units cannot say', async () => {
    const small = request({ amount: 1, lines: [{ title: 'Less than a sip', unitAmount: 1, quantity: 1 }] });
    await assert.rejects(stripe.createSession(small), failsAs('refused', 'amount_too_small'));
    const odd = request({ currency: 'KWD', amount: 5124, lines: [{ title: 'x', unitAmount: 5124, quantity: 1 }] });
    await assert.rejects(stripe.createSession(odd), /amount_not_payable/);
  });

  it('is a mistake of ours to use one attempt for two requests: it is searched for', async () => {
    const wanted = request();
    await stripe.createSession(wanted);
    await assert.rejects(
      stripe.createSession({ ...wanted, uiMode: 'form' }),
      failsAs('unknown', 'idempotency_mismatch'),
    );
  });

  it('speaks the pinned version, with a key of ours on every call that makes something', async () => {
    const wanted = request();
    const { sessionId } = await stripe.createSession(wanted);
    await stripe.expireSession({ sessionId, key: 'our-key' });
    const { body } = await rig.control('GET', `/sandbox/requests?path=${SESSIONS}`);
    const sent = JSON.stringify(body.data);
    assert.ok(sent.includes(wanted.attemptId), 'idempotency key of the attempt');
    assert.equal(STRIPE_API_VERSION, '2026-10-28.endive');
  });

  it('measures every call by operation and outcome', async () => {
    const text = await metrics.registry.metrics();
    for (const label of ['operation="create_session",outcome="ok"', 'operation="create_session",outcome="busy"']) {
      assert.ok(text.includes(label), label);
    }
  });
});
