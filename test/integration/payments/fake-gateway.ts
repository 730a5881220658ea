import {
  type Gateway,
  GatewayError,
  type Observation,
  type RefundObservation,
  type SessionRequest,
} from '#domain/payments/index.ts';

interface FakeSession {
  observation: Observation;
  refunds: Map<string, RefundObservation & { amount: number }>;
  /** A second payment through the same session. */
  paidAgain?: Observation;
}

/** What the next matching calls do instead of answering. `applied`: the provider has acted before the answer is lost. */
export interface Fault {
  operation: 'create' | 'fetch' | 'expire' | 'find' | 'refund';
  outcome: GatewayError['outcome'];
  code?: string;
  applied?: boolean;
  times?: number;
}

export interface FakeGateway extends Gateway {
  sessions: Map<string, FakeSession>;
  /** Operations in the order they arrived. */
  calls: string[];
  /** Calls that create a session, that were under way at the same time, at most. */
  mostAtOnce: () => number;
  fault(fault: Fault): void;
  /** From now on everything answers. */
  noFaults(): void;
  /** The next such call never returns: its caller died around it. */
  deathIn(operation: 'createSession' | 'expireSession', applied: boolean): { happened(): boolean; cancel(): void };
  /** Waits inside every creating call, as a network does. */
  slow(until: Promise<unknown>): void;
  pay(sessionId: string, overrides?: Partial<Observation>): void;
  payAgain(sessionId: string): void;
  change(sessionId: string, overrides: Partial<Observation>): void;
  open(): string[];
  /** What a new refund says it is, from now on. */
  refundsAre(state: RefundObservation['state']): void;
  /** A refund ends later; one that fails gives the money back to the charge. */
  endRefund(sessionId: string, state: 'succeeded' | 'failed'): void;
  /** The provider forgets idempotency keys. */
  forgetKeys(): void;
}

/** A provider in memory, with the rules that Klar relies on: keys, what can be expired, refunds once per id. */
export function fakeGateway({ livemode = false, now = () => new Date() } = {}): FakeGateway {
  const sessions = new Map<string, FakeSession>();
  const keys = new Map<string, string>();
  const calls: string[] = [];
  const faults: Fault[] = [];
  let waiting: Promise<unknown> = Promise.resolve();
  let running = 0;
  let most = 0;
  let count = 0;
  let refundState: RefundObservation['state'] = 'succeeded';

  async function call<T>(operation: Fault['operation'], apply: () => T): Promise<T> {
    calls.push(operation);
    const fault = faults.find((one) => one.operation === operation && one.times !== 0);
    if (fault === undefined) return apply();
    if (fault.times !== undefined) fault.times -= 1;
    if (fault.applied) apply();
    throw new GatewayError(fault.outcome, fault.code ?? 'injected');
  }
  function sessionOf(id: string): FakeSession {
    const session = sessions.get(id);
    if (session === undefined) throw new GatewayError('refused', 'resource_missing');
    return session;
  }
  function make(request: SessionRequest): Observation {
    const known = keys.get(request.attemptId);
    if (known !== undefined) return sessionOf(known).observation;
    count += 1;
    const sessionId = `cs_fake_${count}_${request.attemptId.slice(-8)}`;
    const hosted = request.uiMode === 'hosted_page';
    const observation: Observation = {
      sessionId,
      status: 'open',
      money: 'none',
      livemode,
      account: '',
      amount: request.amount,
      currency: request.currency,
      orderId: request.orderId,
      attemptId: request.attemptId,
      captured: 0,
      refunded: 0,
      url: hosted ? `https://pay.test/${sessionId}` : undefined,
      clientSecret: hosted ? undefined : `${sessionId}_secret`,
      expiresAt: new Date(now().getTime() + 24 * 60 * 60 * 1000),
      paymentIntentId: undefined,
      chargeId: undefined,
      customerId: undefined,
      methodType: undefined,
      methodBrand: undefined,
      methodLast4: undefined,
      receiptUrl: undefined,
      lastError: undefined,
    };
    keys.set(request.attemptId, sessionId);
    sessions.set(sessionId, { observation, refunds: new Map() });
    return observation;
  }
  function change(sessionId: string, overrides: Partial<Observation>): void {
    const session = sessionOf(sessionId);
    session.observation = { ...session.observation, ...overrides };
  }

  const gateway: FakeGateway = {
    provider: 'stripe',
    account: '',
    livemode,
    sessions,
    calls,
    mostAtOnce: () => most,
    fault: (fault) => void faults.push({ times: 1, ...fault }),
    noFaults: () => void faults.splice(0),
    deathIn: (operation, applied) => {
      const real = gateway[operation];
      let died = false;
      gateway[operation] = async (input: never) => {
        gateway[operation] = real as never;
        died = true;
        if (applied) await real(input);
        return new Promise<never>(() => {});
      };
      return {
        happened: () => died,
        cancel: () => {
          gateway[operation] = real as never;
        },
      };
    },
    slow: (until) => {
      waiting = until;
    },
    change,
    open: () =>
      [...sessions.values()].filter((s) => s.observation.status === 'open').map((s) => s.observation.sessionId),
    forgetKeys: () => keys.clear(),
    refundsAre: (state) => {
      refundState = state;
    },
    endRefund: (sessionId, state) => {
      const session = sessionOf(sessionId);
      for (const [id, refund] of session.refunds) {
        session.refunds.set(id, { ...refund, state });
        const { refunded } = session.observation;
        if (state === 'failed') change(sessionId, { refunded: refunded - refund.amount });
      }
    },
    pay: (sessionId, overrides = {}) => {
      const { amount = 0 } = sessionOf(sessionId).observation;
      change(sessionId, {
        status: 'complete',
        money: 'paid',
        captured: amount,
        url: undefined,
        clientSecret: undefined,
        paymentIntentId: `pi_${sessionId}`,
        chargeId: `ch_${sessionId}`,
        customerId: `cus_${sessionId}`,
        methodType: 'card',
        methodBrand: 'visa',
        methodLast4: '4242',
        receiptUrl: `https://pay.test/receipts/${sessionId}`,
        ...overrides,
      });
    },
    async createSession(request) {
      running += 1;
      most = Math.max(most, running);
      try {
        await waiting;
        return await call('create', () => make(request));
      } finally {
        running -= 1;
      }
    },
    fetchSession: ({ sessionId, paidBy }) =>
      call('fetch', () => {
        const { observation, paidAgain } = sessionOf(sessionId);
        if (paidAgain === undefined) return observation;
        return paidBy === observation.paymentIntentId
          ? {
              ...observation,
              stray: { paymentIntentId: paidAgain.paymentIntentId ?? '', captured: paidAgain.captured },
            }
          : paidAgain;
      }),
    fetchPayment: (id) =>
      call('fetch', () => {
        for (const { observation, paidAgain } of sessions.values()) {
          const found = [observation, paidAgain].find((one) => one?.paymentIntentId === id);
          if (found !== undefined) return { ...found, sessionId: '' };
        }
        throw new GatewayError('refused', 'resource_missing');
      }),
    payAgain: (sessionId) => {
      const session = sessionOf(sessionId);
      const { observation } = session;
      session.paidAgain = {
        ...observation,
        paymentIntentId: `${observation.paymentIntentId}_again`,
        chargeId: `${observation.chargeId}_again`,
      };
    },
    expireSession: ({ sessionId }) =>
      call('expire', () => {
        const { observation } = sessionOf(sessionId);
        if (observation.status === 'open')
          change(sessionId, { status: 'expired', url: undefined, clientSecret: undefined });
        return sessionOf(sessionId).observation;
      }),
    findSession: ({ attemptId }) =>
      call('find', () => [...sessions.values()].find((s) => s.observation.attemptId === attemptId)?.observation),
    refund: ({ refundId, paymentIntentId, amount }) =>
      call('refund', (): RefundObservation => {
        const of = (o: Observation | undefined) => o?.paymentIntentId === paymentIntentId;
        const session = [...sessions.values()].find((s) => of(s.observation) || of(s.paidAgain));
        if (session === undefined) throw new GatewayError('refused', 'resource_missing');
        const known = session.refunds.get(refundId);
        if (known !== undefined) return known;
        const again = of(session.paidAgain) ? session.paidAgain : undefined;
        const { captured, refunded, sessionId } = again ?? session.observation;
        if (refunded + amount > captured) throw new GatewayError('refused', 'charge_already_refunded');
        const refund = {
          providerRefundId: `re_${refundId}`,
          state: refundState,
          lastError: undefined,
          amount,
        };
        session.refunds.set(refundId, refund);
        if (again !== undefined) session.paidAgain = { ...again, refunded: refunded + amount };
        else change(sessionId, { refunded: refunded + amount });
        return refund;
      }),
  };
  return gateway;
}
