import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { type FakeGateway, fakeGateway } from './fake-gateway.ts';
import { createRig, type Purchase, type Rig, sessionObject } from './rig.ts';

const HOUR = 60 * 60 * 1000;
const DUE = 4900;

const which = fc.nat(9);
const mode = fc.constantFrom('hosted_page' as const, 'form' as const);
const applied = fc.boolean();
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ does: fc.constant('asks' as const), mode }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('cancels' as const) }) },
  { weight: 3, arbitrary: fc.record({ does: fc.constant('pays' as const), which, late: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('pays later' as const), which }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('settles' as const), which, succeeds: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('runs out' as const), which }) },
  { weight: 4, arbitrary: fc.record({ does: fc.constant('tells' as const), which }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('jobs' as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      does: fc.constant('fails' as const),
      operation: fc.constantFrom('create' as const, 'expire' as const, 'fetch' as const, 'refund' as const),
      outcome: fc.constantFrom('unknown' as const, 'unknown' as const, 'busy' as const),
      applied,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constant('dies' as const),
      operation: fc.constantFrom('createSession' as const, 'expireSession' as const),
      mode,
      applied,
    }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('leases end' as const) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('hours' as const), hours: fc.constantFrom(0.2, 1, 24) }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

describe('any history of a purchase', () => {
  let rig: Rig;
  let gateway: FakeGateway;
  before(async () => {
    gateway = fakeGateway({ now: () => rig.clock.now() });
    rig = await createRig(gateway, { waitMs: 100 });
  });
  after(() => rig.close());

  const endLeases = ({ school }: Purchase) =>
    rig.database.asSuperuser(
      `update app.payment_attempts set lease_until = now() - interval '1 second' where tenant_id = $1`,
      [school.id],
    );
  const ignore = () => {};

  /** One purchase with what its buyer was given and the provider knows. */
  function history(purchase: Purchase) {
    const { school, order } = purchase;
    const given = new Set<string>();
    const sessions = () =>
      [...gateway.sessions.values()].map((s) => s.observation).filter((o) => o.orderId === order.id);
    const ask = (shown: 'hosted_page' | 'form') =>
      rig.session(purchase, shown).then(({ sessionId }) => void given.add(sessionId), ignore);
    const tell = async (id: string) => {
      // The inbox holds an event back until our row is there.
      const known = (await rig.rows('payment_attempts', school)).some((row) => row.session_id === id);
      if (known) await rig.event(school, 'checkout.session.completed', sessionObject(id));
    };
    const jobs = async () => {
      await rig.jobs('payments.resolve_attempt').catch(ignore);
      await rig.jobs('payments.refund_duplicate').catch(ignore);
    };

    async function run(one: Step): Promise<void> {
      const all = sessions();
      const at = 'which' in one ? all[one.which % Math.max(1, all.length)] : undefined;
      // Only what was handed out can be used.
      const usable = at !== undefined && given.has(at.sessionId) && at.money === 'none';
      if (one.does === 'asks') await ask(one.mode);
      else if (one.does === 'cancels') await rig.cancel(purchase).catch(ignore);
      else if (one.does === 'pays' && usable && (one.late || at.status === 'open')) gateway.pay(at.sessionId);
      else if (one.does === 'pays later' && usable && at.status === 'open')
        gateway.change(at.sessionId, { status: 'complete', money: 'processing' });
      else if (one.does === 'settles' && at?.money === 'processing') {
        if (one.succeeds) gateway.pay(at.sessionId);
        else gateway.change(at.sessionId, { money: 'failed' });
      } else if (one.does === 'runs out' && at?.status === 'open') gateway.change(at.sessionId, { status: 'expired' });
      else if (one.does === 'tells' && at !== undefined) await tell(at.sessionId).catch(ignore);
      else if (one.does === 'jobs') await jobs();
      else if (one.does === 'fails') gateway.fault(one);
      else if (one.does === 'leases end') await endLeases(purchase);
      else if (one.does === 'hours') rig.clock.advance(one.hours * HOUR);
      else if (one.does === 'dies') {
        const death = gateway.deathIn(one.operation, one.applied);
        const asking = ask(one.mode);
        // Either it ends, or it has died and never will.
        while (!death.happened()) if (await Promise.race([asking.then(() => true), pause(10)])) break;
        death.cancel();
      }
    }

    /** Everybody answers, and all the time in the world: jobs are repeated, pages run out, events come after all. */
    async function quieten(): Promise<void> {
      gateway.noFaults();
      for (const late of [false, true]) {
        if (late) {
          for (const { sessionId, money } of sessions()) {
            if (money === 'processing') gateway.change(sessionId, { money: 'failed' });
          }
          rig.clock.advance(25 * HOUR);
          for (const { sessionId, status } of sessions()) {
            if (status === 'open') gateway.change(sessionId, { status: 'expired' });
          }
        }
        for (let round = 0; round < 3; round += 1) {
          await endLeases(purchase);
          for (const row of await rig.rows('payment_attempts', school)) {
            const payload = { tenant_id: school.id, order_id: order.id, attempt_id: String(row.id) };
            await rig.workerPayments.resolveAttempt(payload).catch(ignore);
          }
        }
        for (const { sessionId } of sessions()) await tell(sessionId);
        for (const row of await rig.rows('refunds', school)) {
          await rig.workerPayments.refundDuplicate({ tenant_id: school.id, refund_id: String(row.id) });
        }
      }
      await rig.database.asSuperuser(`update pgboss.job set state = 'completed' where state = 'created'`);
    }
    return { run, quieten, sessions };
  }

  it('ends with the provider’s money, nothing open, and one of what was bought, or none', async () => {
    const pairs = fc.array(fc.tuple(step, fc.option(step)), { minLength: 4, maxLength: 16 });
    await fc.assert(
      fc.asyncProperty(pairs, async (steps) => {
        const purchase = await rig.purchase();
        const { school } = purchase;
        const { run, quieten, sessions } = history(purchase);
        for (const [one, other] of steps) {
          // Whose call dies must be known: that step is alone.
          if (other === null || one.does === 'dies' || other.does === 'dies') await run(one);
          else await Promise.all([run(one), run(other)]);
        }
        await quieten();

        const [attempts, [payment], [order]] = await Promise.all([
          rig.rows('payment_attempts', school),
          rig.rows('payments', school),
          rig.rows('orders', school),
        ]);
        const open = attempts.filter((row) => !['paid', 'failed', 'expired', 'void'].includes(String(row.state)));
        assert.deepEqual(open, []);
        const seen = sessions();
        assert.equal(new Set(seen.map((s) => s.attemptId)).size, seen.length, 'one session an attempt');
        const known = attempts.map((row) => row.session_id);
        assert.ok(
          seen.every((s) => known.includes(s.sessionId)),
          'no page that we have forgotten',
        );
        const [captured, refunded] = [seen, seen].map((list, i) =>
          list.reduce((sum, s) => sum + (i === 0 ? s.captured : s.refunded), 0),
        ) as [number, number];
        assert.deepEqual([Number(payment?.captured ?? 0), Number(payment?.refunded ?? 0)], [captured, refunded]);
        // Whatever came twice has gone back.
        assert.equal(captured - refunded, captured === 0 ? 0 : DUE);
        const paid = captured > 0;
        assert.equal(order?.status === 'paid', paid);
        if (order?.canceled_at !== null && !paid) assert.equal(order?.status, 'expired');
        assert.equal((await rig.rows('fulfilments', school)).length, paid ? 1 : 0);
        const enrollments = (await rig.rows('enrollments', school)).map((row) => row.status);
        assert.deepEqual(enrollments, paid ? ['active'] : []);
      }),
      { numRuns: 40 },
    );
  }).timeout(120_000);
});
