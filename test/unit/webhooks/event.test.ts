import assert from 'node:assert/strict';
import fc from 'fast-check';
import { EVENT_STATES } from '#domain/webhooks/index.ts';
import {
  ACCEPTED_STATES,
  afterFailure,
  backoffMs,
  MAX_ATTEMPTS,
  MAX_ROUTE_ATTEMPTS,
} from '../../../services/domain/webhooks/event.ts';

const total = (attempts: number, random: number) =>
  Array.from({ length: attempts - 1 }, (_, i) => backoffMs(i + 1, random)).reduce((sum, ms) => sum + ms, 0);

describe('backoff of events', () => {
  it('starts below a second and never waits more than two hours', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.double({ min: 0, max: 0.999999, noNaN: true }),
        (n, random) => {
          const ms = backoffMs(n, random);
          assert.ok(Number.isInteger(ms) && ms >= 500 && ms <= 2 * 3_600_000);
        },
      ),
    );
    assert.equal(backoffMs(1, 0), 500);
  });

  it('spreads the events of one outage over half of the wait', () => {
    assert.deepEqual([backoffMs(5, 0), backoffMs(5, 0.5), backoffMs(5, 1)], [8_000, 12_000, 16_000]);
  });

  it('lets an event outlive an outage of a working day, and a mapping be minutes late', () => {
    assert.ok(total(MAX_ATTEMPTS, 0) > 6 * 3_600_000, 'even with the shortest waits');
    assert.ok(total(MAX_ROUTE_ATTEMPTS, 0) > 4 * 60_000);
  });

  it('ends in dead after the last attempt', () => {
    assert.equal(afterFailure(MAX_ATTEMPTS - 1, 0.5).state, 'ready');
    assert.deepEqual(afterFailure(MAX_ATTEMPTS, 0.5), { state: 'dead', delayMs: 0 });
  });
});

describe('what operators may do', () => {
  it('leaves events on their way alone and covers every state that an event can end in', () => {
    const touched: string[] = [...ACCEPTED_STATES.replay, ...ACCEPTED_STATES.redrive];
    assert.deepEqual(
      EVENT_STATES.filter((state) => !touched.includes(state)),
      ['received', 'ready', 'leased'],
    );
    assert.equal(new Set(touched).size, touched.length);
  });
});
