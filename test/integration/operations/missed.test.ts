import assert from 'node:assert/strict';
import type { TaskWork } from '#domain/operations/index.ts';
import { type TaskRig, taskRig } from './rig.ts';

const START = Date.parse('2026-05-01T10:00Z');
/** A tick so many minutes after ten. */
const tick = (minute: number) => new Date(START + minute * 60_000);

describe('ticks at which a task did not run', function () {
  this.timeout(60_000);
  let rig: TaskRig;
  before(async () => {
    rig = await taskRig();
  });
  beforeEach(() => rig.reset());
  after(() => rig.database.close());

  describe('of a task that skips them', () => {
    const every10 = '*/10 * * * *';
    const missedAt = async (minute: number, cron = every10) =>
      (await rig.run(async () => ({}), { tick: tick(minute), cron })).missed;

    it('are recorded by the next run; a run by hand between settles none', async () => {
      await assert.rejects(rig.run(() => Promise.reject(new Error('no')), { tick: tick(0), cron: every10 }));
      for (const minute of [0, 20]) await rig.run(async () => ({}), { tick: tick(minute), byHand: true });
      assert.deepEqual(await missedAt(40), [tick(10), tick(30)]);
      assert.deepEqual(await missedAt(50), []);
      const rows = await rig.rows();
      assert.equal(rows.filter(({ status }) => status === 'missed').length, 2);
    });

    it('are not invented for the time before a change of its schedule', async () => {
      await missedAt(0, '0 * * * *');
      assert.deepEqual(await missedAt(150), []);
      assert.deepEqual(await missedAt(180), [tick(160), tick(170)]);
      // And back: what the first schedule once ran says nothing of the hours since.
      assert.deepEqual(await missedAt(360, '0 * * * *'), []);
      assert.deepEqual(await missedAt(480, '0 * * * *'), [tick(420)]);
    });

    it('are left to the next run by one that could not find out', async () => {
      await missedAt(0);
      assert.deepEqual(await missedAt(20, '@every 10m'), []);
      assert.deepEqual(await missedAt(40), [tick(10), tick(30)]);
    });
  });

  describe('of a task that catches them up', () => {
    const billing = () => {
      const done: string[] = [];
      const bill = async ({ tick: at }: { tick: Date | null }) => {
        done.push(at?.toISOString().slice(11, 16) ?? '');
        return {};
      };
      return { bill, done };
    };

    it('are done: oldest first, failed ticks too, and no later one before an earlier one', async () => {
      const options = { task: 'invoices' as const, cron: '*/10 * * * *' };
      const { bill, done } = billing();
      await rig.run(bill, { ...options, tick: tick(0) });
      await assert.rejects(rig.run(() => Promise.reject(new Error('no')), { ...options, tick: tick(10) }));
      // 10:20 never began. At 10:30 the oldest one fails again: nothing later is done.
      await assert.rejects(rig.run(() => Promise.reject(new Error('still no')), { ...options, tick: tick(30) }));
      assert.deepEqual(done, ['10:00']);
      assert.equal((await rig.rows()).length, 2);
      const end = await rig.run(bill, { ...options, tick: tick(40) });
      assert.deepEqual(done, ['10:00', '10:10', '10:20', '10:30', '10:40']);
      assert.deepEqual(end.caughtUp, [tick(10), tick(20), tick(30)]);
      assert.ok((await rig.rows()).every(({ status }) => status === 'succeeded'));
    });

    it('are done however many they are and however long ago; what ends a turn is gone on with by the next', async () => {
      const { bill, done } = billing();
      const options = { task: 'usage-report' as const, cron: '* * * * *' };
      await rig.run(bill, { ...options, tick: tick(0) });
      const stop = new AbortController();
      const halfWay: TaskWork = async (context) => {
        if (done.length === 60) stop.abort(new Error('SIGTERM'));
        context.signal.throwIfAborted();
        return bill(context);
      };
      const turn = { ...options, tick: tick(130), signal: stop.signal };
      await assert.rejects(rig.run(halfWay, turn), /SIGTERM/);
      assert.equal((await rig.run(bill, { ...options, tick: tick(131) })).caughtUp.length, 71);
      const expected = Array.from({ length: 132 }, (_, minute) => tick(minute).toISOString().slice(11, 16));
      assert.deepEqual(done, expected);

      const monthly = { task: 'invoices' as const, cron: '0 10 1 * *' };
      await rig.run(bill, { ...monthly, tick: new Date('2025-11-01T10:00Z') });
      const { caughtUp } = await rig.run(bill, { ...monthly, tick: tick(0) });
      assert.deepEqual(
        caughtUp.map((at) => at.toISOString().slice(0, 7)),
        ['2025-12', '2026-01', '2026-02', '2026-03', '2026-04'],
      );
    });

    it('are done after a change of its schedule too: since the last success, and what failed by the old one', async () => {
      const { bill, done } = billing();
      const invoices = { task: 'invoices' as const };
      const old = { ...invoices, cron: '*/10 * * * *' };
      await rig.run(bill, { ...old, tick: tick(0) });
      await assert.rejects(rig.run(() => Promise.reject(new Error('no')), { ...old, tick: tick(10) }));
      await rig.run(bill, { ...invoices, cron: '25 * * * *', tick: tick(145) });
      assert.deepEqual(done, ['10:00', '10:10', '10:25', '11:25', '12:25']);
      const next = await rig.run(bill, { ...invoices, cron: '*/20 * * * *', tick: tick(180) });
      assert.deepEqual(next.caughtUp, [tick(160)]);
    });
  });
});
