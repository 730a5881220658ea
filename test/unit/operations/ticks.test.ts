import assert from 'node:assert/strict';
import { parseTick, tickOfJob, ticksBetween } from '#domain/operations/index.ts';
import { parseSchedule } from '#domain/operations/schedule.ts';
import { KlarError } from '#platform/errors/index.ts';

/** The next ticks after a time, as github.com/robfig/cron/v3 v3.0.1 prints them: the library that Kubernetes uses. */
const KUBERNETES: [string, string, string, string[]][] = [
  // Summer time begins on 29 March: 02:30 does not exist. It ends on 25 October: 02:30 is there twice.
  [
    '30 2 * * *',
    'Europe/Stockholm',
    '2026-03-27T12:00Z',
    ['2026-03-28T01:30Z', '2026-03-30T00:30Z', '2026-03-31T00:30Z'],
  ],
  [
    '30 2 * * *',
    'Europe/Stockholm',
    '2026-10-23T12:00Z',
    ['2026-10-24T00:30Z', '2026-10-25T00:30Z', '2026-10-25T01:30Z', '2026-10-26T01:30Z'],
  ],
  [
    '30 1 * * *',
    'America/New_York',
    '2026-10-30T12:00Z',
    ['2026-10-31T05:30Z', '2026-11-01T05:30Z', '2026-11-01T06:30Z', '2026-11-02T06:30Z'],
  ],
  [
    '15 */3 * * *',
    'Europe/Stockholm',
    '2026-03-28T22:00Z',
    ['2026-03-28T23:15Z', '2026-03-29T01:15Z', '2026-03-29T04:15Z', '2026-03-29T07:15Z'],
  ],
  [
    '15 */3 * * *',
    'Europe/Stockholm',
    '2026-10-24T20:00Z',
    ['2026-10-24T22:15Z', '2026-10-25T02:15Z', '2026-10-25T05:15Z'],
  ],
  // Midnight that does not exist.
  [
    '0 0 * * *',
    'America/Sao_Paulo',
    '2018-11-02T12:00Z',
    ['2018-11-03T03:00Z', '2018-11-05T02:00Z', '2018-11-06T02:00Z'],
  ],
  // A change by half an hour.
  [
    '*/20 1-2 * * *',
    'Australia/Lord_Howe',
    '2026-04-04T13:00Z',
    [
      '2026-04-04T14:00Z',
      '2026-04-04T14:20Z',
      '2026-04-04T14:40Z',
      '2026-04-04T15:10Z',
      '2026-04-04T15:30Z',
      '2026-04-04T15:50Z',
      '2026-04-04T16:10Z',
    ],
  ],
  ['0 9 * * MON-FRI', 'Asia/Kolkata', '2026-01-01T12:00Z', ['2026-01-02T03:30Z', '2026-01-05T03:30Z']],
  // Day and weekday both given: either.
  [
    '0 0 1,15 * 1',
    'UTC',
    '2026-01-29T12:00Z',
    ['2026-02-01T00:00Z', '2026-02-02T00:00Z', '2026-02-09T00:00Z', '2026-02-15T00:00Z', '2026-02-16T00:00Z'],
  ],
  [
    '0 4 */10 * 1',
    'UTC',
    '2026-01-29T12:00Z',
    ['2026-01-31T04:00Z', '2026-02-01T04:00Z', '2026-02-02T04:00Z', '2026-02-09T04:00Z', '2026-02-11T04:00Z'],
  ],
  ['0 5 29 2 *', 'UTC', '2026-01-01T12:00Z', ['2028-02-29T05:00Z']],
  ['@weekly', 'UTC', '2026-01-01T12:00Z', ['2026-01-04T00:00Z', '2026-01-11T00:00Z']],
];

const iso = (at: Date) => `${at.toISOString().slice(0, 16)}Z`;
const code = (expected: string) => (error: unknown) => error instanceof KlarError && error.code === expected;

describe('ticks', () => {
  for (const [cron, zone, after, expected] of KUBERNETES) {
    it(`of "${cron}" in ${zone} after ${after} are those of Kubernetes`, () => {
      const before = new Date(Date.parse(expected.at(-1) ?? '') + 60_000);
      const ticks = ticksBetween(parseSchedule(cron, zone), { after: new Date(after), before }, 100);
      assert.deepEqual(ticks.map(iso), expected);
    });
  }

  it('leaves the ends of the range out, and keeps the newest when there are too many', () => {
    const every = parseSchedule('*/10 * * * *');
    const range = { after: new Date('2026-01-01T00:00Z'), before: new Date('2026-01-01T00:50Z') };
    assert.deepEqual(ticksBetween(every, range, 9).map(iso), [
      '2026-01-01T00:10Z',
      '2026-01-01T00:20Z',
      '2026-01-01T00:30Z',
      '2026-01-01T00:40Z',
    ]);
    assert.deepEqual(ticksBetween(every, range, 2).map(iso), ['2026-01-01T00:30Z', '2026-01-01T00:40Z']);
  });

  it('refuses what is no schedule of Kubernetes', () => {
    for (const text of ['', '* * * *', '0 30 2 * * *', '60 * * * *', '0 0 L * *', '@every 5m', '@reboot', 'nightly'])
      assert.throws(() => parseSchedule(text), code('schedule_unreadable'), text);
    assert.throws(() => parseSchedule('* * * * *', 'Mars/Olympus'), code('schedule_unreadable'));
  });

  it('reads the tick out of the name that the CronJob controller gives a Job', () => {
    const now = new Date('2026-11-21T12:00:20Z');
    const tick = new Date('2026-11-21T12:00:00Z');
    const minutes = tick.getTime() / 60_000;
    assert.deepEqual(tickOfJob(`klar-backup-${minutes}`, now), tick);
    // The pod may be on a node whose clock is behind.
    assert.deepEqual(tickOfJob(`klar-backup-${minutes}`, new Date('2026-11-21T11:58:00Z')), tick);
    for (const name of [
      'klar-backup-manual-1',
      'klar-backup-20261121',
      `klar-backup-${minutes + 60 * 24}`,
      `${minutes}x`,
      '',
    ])
      assert.equal(tickOfJob(name, now), undefined, name);
  });

  it('takes a tick by hand as a whole minute that has come, with its zone', () => {
    const now = new Date('2026-05-02T00:00:00Z');
    assert.equal(parseTick('2026-05-01T02:30Z', now).toISOString(), '2026-05-01T02:30:00.000Z');
    assert.equal(parseTick('2026-05-01T04:30:00+02:00', now).toISOString(), '2026-05-01T02:30:00.000Z');
    for (const text of ['', 'now', '2026-05-01', '2026-05-01T02:30', '2026-13-01T02:30Z'])
      assert.throws(() => parseTick(text, now), code('tick_unreadable'), text);
    assert.throws(() => parseTick('2026-05-01T02:30:10Z', now), code('tick_not_a_minute'));
    assert.throws(() => parseTick('2026-05-03T02:30Z', now), code('tick_in_future'));
  });
});
