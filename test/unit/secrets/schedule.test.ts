import { deepEqual, equal, ok } from 'node:assert/strict';
import { type Blackout, dueAt, inBlackout, type Policy, scheduled } from '#domain/secrets/index.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const policy = (changes: Partial<Policy> = {}): Policy => ({
  secret: 'ADMIN_TOKEN',
  kind: 'admin-token',
  periodS: 30 * 86_400,
  soakS: 60,
  quietS: 60,
  jitterS: 0,
  blackout: [],
  enabled: true,
  ...changes,
});
const night = (timeZone: string): Blackout => ({
  days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'],
  fromMin: 60,
  toMin: 5 * 60,
  timeZone,
});

/** Ten secrets under one scheduler whose clock is what `clock` says; a rotation takes half an hour. */
function simulate(
  clock: (trueMs: number) => number,
  from: number,
  days: number,
  stepMs = 10 * 60_000,
  asleep?: [number, number],
) {
  const secrets = Array.from({ length: 10 }, (_, i) => policy({ secret: `SECRET_${i}`, jitterS: 2 * 86_400 }));
  const since = new Map(secrets.map((p) => [p.secret, new Date(clock(from))]));
  const starts: { secret: string; trueMs: number }[] = [];
  let busyUntil = 0;
  for (let t = from; t < from + days * DAY; t += stepMs) {
    if (asleep && t >= asleep[0] && t < asleep[1]) continue;
    const now = new Date(clock(t));
    for (const p of secrets) {
      const state = { since: since.get(p.secret) as Date, anotherRuns: t < busyUntil };
      if (!scheduled(p, state, now).start) continue;
      starts.push({ secret: p.secret, trueMs: t });
      since.set(p.secret, now);
      busyUntil = t + HOUR / 2;
    }
  }
  return starts;
}

function noStorm(starts: { secret: string; trueMs: number }[], rounds: number): void {
  equal(starts.length, 10 * rounds);
  for (let i = 1; i < starts.length; i += 1) {
    ok((starts[i]?.trueMs ?? 0) - (starts[i - 1]?.trueMs ?? 0) >= HOUR / 2, 'two at once');
  }
  for (const secret of new Set(starts.map((s) => s.secret))) {
    const mine = starts.filter((s) => s.secret === secret).map((s) => s.trueMs);
    equal(mine.length, rounds);
    for (let i = 1; i < mine.length; i += 1) ok((mine[i] as number) - (mine[i - 1] as number) > 29 * DAY);
  }
}

describe('the schedule of rotations', () => {
  const start = Date.UTC(2026, 2, 1);

  it('rotates each secret once a period, spread by a jitter that follows from the name', () => {
    const due = (secret: string) => dueAt(policy({ secret, jitterS: 86_400 }), new Date(0)).getTime();
    equal(due('A'), due('A'));
    ok(due('A') !== due('B'));
    ok(due('A') >= 30 * DAY && due('A') < 31 * DAY);
    noStorm(
      simulate((t) => t, start, 70),
      2,
    );
  });

  it('starts no storm and skips none when the clock steps by an hour, either way, again and again', () => {
    // Every 5 hours another step: +1 h, -1 h, right.
    noStorm(
      simulate((t) => t + ([HOUR, -HOUR, 0][Math.floor(t / (5 * HOUR)) % 3] as number), start, 70),
      2,
    );
  });

  it('after weeks of sleep follows what fell due, one after another', () => {
    const starts = simulate((t) => t, start, 75, 10 * 60_000, [start + 20 * DAY, start + 50 * DAY]);
    noStorm(starts.slice(0, 10), 1);
    ok((starts[0]?.trueMs ?? 0) >= start + 50 * DAY);
    ok((starts[9]?.trueMs ?? 0) < start + 51 * DAY, 'all within the first day');
  });

  it('keeps blackout hours in wall time through both changes of daylight saving', () => {
    const windows = [night('Europe/Stockholm')];
    // 29 March: 02:00 becomes 03:00, so 01:00-05:00 lasts three hours; 25 October: five hours.
    for (const [day, hours] of [
      [Date.UTC(2026, 2, 28, 12), 3],
      [Date.UTC(2026, 9, 24, 12), 5],
      [Date.UTC(2026, 6, 1, 12), 4],
    ] as const) {
      let dark = 0;
      for (let t = day; t < day + DAY; t += 60_000) if (inBlackout(new Date(t), windows)) dark += 1;
      equal(dark, hours * 60);
    }
    const due = policy({ blackout: windows });
    const at = (now: string) => scheduled(due, { since: new Date(0), anotherRuns: false }, new Date(now));
    equal(at('2026-03-29T02:30:00Z').start, false);
    equal(at('2026-03-29T03:00:00Z').start, true);
  });

  it('takes a window past midnight for the day on which it begins', () => {
    const friday: Blackout = { days: ['fri'], fromMin: 22 * 60, toMin: 6 * 60, timeZone: 'UTC' };
    equal(inBlackout(new Date('2026-05-01T23:00:00Z'), [friday]), true);
    equal(inBlackout(new Date('2026-05-02T05:59:00Z'), [friday]), true);
    equal(inBlackout(new Date('2026-05-01T05:59:00Z'), [friday]), false);
  });

  it('starts nothing that is disabled, for people to rotate, or failed lately', () => {
    const state = { since: new Date(0), anotherRuns: false };
    const now = new Date('2026-05-01T12:00:00Z');
    equal(scheduled(policy({ enabled: false }), state, now).start, false);
    equal(scheduled(policy({ kind: 'manual' }), state, now).start, false);
    const impossible = scheduled(policy(), { ...state, impossible: 'set X' }, now);
    deepEqual([impossible.start, impossible.why], [false, 'set X']);
    equal(scheduled(policy(), { ...state, notBefore: new Date(now.getTime() + 1) }, now).start, false);
    equal(scheduled(policy(), { ...state, anotherRuns: true }, now).start, false);
    equal(scheduled(policy(), state, now).start, true);
  });
});
