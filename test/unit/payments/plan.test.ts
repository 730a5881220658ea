import assert from 'node:assert/strict';
import {
  isSilent,
  isUnfinished,
  MIN_SESSION_LEFT_MS,
  nextLook,
  type OpenAttempt,
  planCheckout,
  REPEAT_WINDOW_MS,
} from '../../../services/domain/payments/plan.ts';
import { ATTEMPT_STATES } from '../../../services/domain/payments/state.ts';

const now = new Date('2026-05-01T12:00:00Z');
const ago = (ms: number) => new Date(now.getTime() - ms);
const open = (overrides: Partial<OpenAttempt> = {}): OpenAttempt => ({
  state: 'open',
  ui_mode: 'hosted_page',
  close_reason: null,
  session_id: 'cs_1',
  expires_at: new Date(now.getTime() + 60 * 60 * 1000),
  created_at: ago(1000),
  leased: false,
  ...overrides,
});
const step = (attempt: OpenAttempt | undefined, want: Parameters<typeof planCheckout>[1] = 'hosted_page') =>
  planCheckout(attempt, want, now);

describe('the next step of a checkout', () => {
  it('makes an attempt where there is none', () => assert.equal(step(undefined), 'make'));
  it('has nothing to do where none is wanted', () => assert.equal(step(undefined, 'none'), 'nothing'));
  it('hands the open session out again', () => assert.equal(step(open()), 'hand_out'));
  it('closes one that is shown in another way', () => assert.equal(step(open(), 'elements'), 'close'));
  it('closes one that nobody wants', () => assert.equal(step(open(), 'none'), 'close'));
  it('closes one that ends within minutes', () => {
    const expires_at = new Date(now.getTime() + MIN_SESSION_LEFT_MS - 1);
    assert.equal(step(open({ expires_at })), 'close');
  });
  it('closes one that is marked for it, whatever is wanted', () => {
    assert.equal(step(open({ close_reason: 'replaced' })), 'close');
    assert.equal(step(open({ state: 'expiring', close_reason: 'replaced' })), 'close');
  });
  for (const state of ['created', 'unknown'] as const) {
    it(`repeats the call of a ${state} attempt while its key is known, and looks it up afterwards`, () => {
      const row = (age: number) => open({ state, session_id: null, created_at: ago(age) });
      assert.equal(step(row(REPEAT_WINDOW_MS - 1)), 'call');
      assert.equal(step(row(REPEAT_WINDOW_MS)), 'look_up');
      // Also when it is to be closed: what may exist must be known before it can be.
      assert.equal(step(row(0), 'none'), 'call');
    });
  }
  it('waits while somebody else is calling', () => {
    for (const state of ['created', 'unknown', 'open', 'expiring'] as const) {
      assert.equal(step(open({ state, leased: true })), 'wait');
    }
  });
  it('refuses while money is on its way or under review', () => {
    assert.equal(step(open({ state: 'pending' })), 'pending');
    assert.equal(step(open({ state: 'held', leased: true })), 'held');
  });
});

describe('a look without an event', () => {
  const at = (minutes: number) => new Date(now.getTime() + minutes * 60_000);
  const look = (minutes: number) => nextLook({ state: 'open', expires_at: now }, at(minutes));

  it('comes after the end of a session and what its event may take, and ever more rarely after that', () => {
    for (const [asked, next] of [
      [-60, 10],
      [0, 10],
      [10, 20],
      [20, 40],
      [40, 80],
    ] as const) {
      assert.deepEqual(look(asked), at(next));
    }
    assert.equal(isSilent({ state: 'open', expires_at: now }, at(9.9)), false);
    assert.equal(isSilent({ state: 'open', expires_at: now }, at(10)), true);
  });

  it('is for every state in which only the provider knows more; what is ours to end is ended', () => {
    const states = (of: (state: OpenAttempt['state']) => unknown) => ATTEMPT_STATES.filter(of);
    assert.deepEqual(
      states((state) => nextLook({ state, expires_at: now }, now)),
      ['open', 'pending'],
    );
    assert.deepEqual(states(isUnfinished), ['created', 'unknown', 'expiring']);
  });
});
