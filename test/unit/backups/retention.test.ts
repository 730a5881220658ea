import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  backupId,
  type Candidate,
  type Proof,
  parseRetention,
  planRetention,
  type Retention,
} from '#domain/operations/backups/index.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = new Date('2026-05-20T12:00:00Z');
const at = (agoMs: number, more: Partial<Candidate> = {}): Candidate => {
  const time = new Date(NOW.getTime() - agoMs);
  return { id: backupId(time), committed: true, at: time, changedAt: time, proof: 'unknown', ...more };
};
const kept = (backups: Candidate[], retention: string, now = NOW) =>
  planRetention(backups, parseRetention(retention), now)
    .filter(({ keep }) => keep)
    .map(({ id }) => id);

describe('BACKUP_RETENTION', () => {
  it('is read', () =>
    assert.deepEqual(parseRetention('daily=7, weekly=4,monthly=12'), {
      hourly: 0,
      daily: 7,
      weekly: 4,
      monthly: 12,
      yearly: 0,
    }));
  for (const text of ['', 'daily', 'daily=x', 'fortnightly=2', 'daily=0', 'daily=7;weekly=4', 'daily=-1']) {
    it(`is not ${JSON.stringify(text)}`, () =>
      assert.throws(() => parseRetention(text), { code: 'backup_retention_wrong' }));
  }
});

describe('what retention keeps', () => {
  it('is one backup a day, and one a week and a month behind them', () => {
    const daily = Array.from({ length: 100 }, (_, days) => at(days * DAY, { proof: 'ok' }));
    const left = kept(daily, 'daily=7,weekly=4,monthly=3');
    // 20, 19 ... 14 May; the Sundays 17 and 10 May and 3 May; the last days of April and March.
    const days = left.map((id) => `${id.slice(4, 6)}-${id.slice(6, 8)}`);
    assert.deepEqual(days, [
      '05-20',
      '05-19',
      '05-18',
      '05-17',
      '05-16',
      '05-15',
      '05-14',
      '05-10',
      '05-03',
      '04-30',
      '03-31',
    ]);
  });
  it('is everything until one was restored with success', () => {
    const backups = [at(0), at(HOUR), at(40 * DAY), at(41 * DAY)];
    assert.equal(kept(backups, 'daily=1').length, 4);
  });
  it('is everything newer than the newest that was restored with success', () => {
    const backups = [at(0), at(HOUR), at(2 * HOUR, { proof: 'ok' }), at(3 * HOUR), at(4 * HOUR)];
    assert.deepEqual(
      kept(backups, 'daily=1'),
      backups.slice(0, 3).map(({ id }) => id),
    );
  });
  it('prefers, of a day, one that was proven over a newer one that was not or that was found broken', () => {
    const proven = at(2 * DAY + 3 * HOUR, { proof: 'ok' });
    const backups = [at(0, { proof: 'ok' }), at(2 * DAY, { proof: 'failed' }), at(2 * DAY + HOUR), proven];
    assert.deepEqual(kept(backups, 'daily=7'), [backups[0]?.id, proven.id]);
  });
  it('leaves what is at work alone, and what a killed run left once it is old and a backup is newer', () => {
    const young = at(20 * HOUR, { committed: false });
    const old = at(30 * HOUR, { committed: false });
    const written = at(60 * HOUR, { committed: false, changedAt: new Date(NOW.getTime() - HOUR) });
    assert.deepEqual(kept([at(0), young, old, written], 'daily=1').slice(1), [young.id, written.id]);
    assert.deepEqual(kept([old], 'daily=1'), [old.id]);
  });
});

const proofs: Proof[] = ['ok', 'failed', 'unknown'];
const backups: fc.Arbitrary<Candidate[]> = fc
  .uniqueArray(
    fc.record({
      minutes: fc.integer({ min: -2_000, max: 900_000 }),
      committed: fc.boolean(),
      proof: fc.constantFrom(...proofs),
      writtenAfter: fc.integer({ min: 0, max: 3_000 }),
    }),
    { selector: ({ minutes }) => minutes, maxLength: 40 },
  )
  .map((list) =>
    list.map(({ minutes, committed, proof, writtenAfter }) => {
      const made = at(minutes * 60_000, { committed, proof });
      return { ...made, changedAt: new Date(made.at.getTime() + writtenAfter * 60_000) };
    }),
  );
const period = fc.integer({ min: 0, max: 8 });
const retentions: fc.Arbitrary<Retention> = fc.record({
  hourly: period,
  daily: period,
  weekly: period,
  monthly: period,
  yearly: period,
});
const nows = fc.constantFrom(NOW, new Date(NOW.getTime() + 365 * DAY), new Date(NOW.getTime() - 365 * DAY));

describe('retention, whatever is in the store and whatever the clock says', () => {
  const holds = (check: (all: Candidate[], removed: Candidate[], now: Date) => void) =>
    fc.assert(
      fc.property(backups, retentions, nows, (all, retention, now) => {
        const plan = new Map(planRetention(all, retention, now).map(({ id, keep }) => [id, keep]));
        check(
          all,
          all.filter(({ id }) => plan.get(id) === false),
          now,
        );
      }),
      { numRuns: 500 },
    );
  const newest = (list: Candidate[]) =>
    list.reduce<Candidate | undefined>((a, b) => (a === undefined || b.at > a.at ? b : a), undefined);

  it('decides about each backup once', () => {
    holds((all) => assert.equal(planRetention(all, parseRetention('daily=1'), NOW).length, all.length));
  });
  it('never removes the newest committed backup', () => {
    holds((all, removed, now) => {
      assert.ok(!removed.includes(newest(all.filter(({ committed, at }) => committed && at <= now)) as Candidate));
      assert.ok(!removed.includes(newest(all.filter(({ committed }) => committed)) as Candidate));
    });
  });
  it('removes a backup only when a newer one that stays was restored with success', () => {
    holds((all, removed) => {
      const left = all.filter((backup) => !removed.includes(backup));
      for (const gone of removed.filter(({ committed }) => committed)) {
        assert.ok(left.some(({ committed, proof, at }) => committed && proof === 'ok' && at > gone.at));
      }
    });
  });
  it('removes nothing from the future, and is not covered by anything from it', () => {
    holds((all, removed, now) => {
      for (const gone of removed) {
        assert.ok(gone.at <= now);
        if (gone.committed) {
          assert.ok(all.some(({ proof, committed, at }) => committed && proof === 'ok' && at > gone.at && at <= now));
        }
      }
    });
  });
  it('keeps what it keeps when it is asked again', () => {
    fc.assert(
      fc.property(backups, retentions, nows, (all, retention, now) => {
        const plan = planRetention(all, retention, now);
        const left = all.filter((_, index) => plan[index]?.keep);
        assert.ok(planRetention(left, retention, now).every(({ keep }) => keep));
      }),
      { numRuns: 500 },
    );
  });
  it('removes of the committed no more with a clock a year ahead than with the right one', () => {
    fc.assert(
      fc.property(backups, retentions, (all, retention) => {
        const past = all.filter(({ at, changedAt }) => at <= NOW && changedAt <= NOW);
        const gone = (now: Date) =>
          planRetention(past, retention, now)
            .filter(({ keep }, index) => !keep && past[index]?.committed)
            .map(({ id }) => id);
        assert.deepEqual(gone(new Date(NOW.getTime() + 365 * DAY)), gone(NOW));
      }),
      { numRuns: 500 },
    );
  });
});
