/** Pure rules of the inbox: states, what an operator may do to each, backoff. No clock, no I/O. */

/**
 * States of a stored event.
 * - `received`: stored and acknowledged, its tenant not known yet
 * - `ready`: routed to a tenant, waiting for a worker
 * - `leased`: a worker holds it until `lease_until`
 * - `done`: its effect is committed
 * - `ignored`: no handler for its type in this build; kept and visible, replayed once a handler exists
 * - `unmatched`: none of its objects is known to us; revived when a mapping appears
 * - `dead`: failed too often; an operator redrives it
 */
export const EVENT_STATES = ['received', 'ready', 'leased', 'done', 'ignored', 'unmatched', 'dead'] as const;
export type EventState = (typeof EVENT_STATES)[number];

/** What an operator may do: replay what ended well, redrive what ended badly. */
export type OperatorVerb = 'replay' | 'redrive';

/** The states each verb accepts. An event on its way (`received`, `ready`, `leased`) is never touched. */
export const ACCEPTED_STATES = {
  replay: ['done', 'ignored'],
  redrive: ['dead', 'unmatched'],
} as const satisfies Record<OperatorVerb, readonly EventState[]>;

/** A replay of the same event within this time is skipped: a nervous second call must not double the load. */
export const REPLAY_COOLDOWN_S = 30;

/** Failed attempts before an event is dead: with the backoff below about ten hours, longer than most outages. */
export const MAX_ATTEMPTS = 20;

/** Looks for the tenant of an event before it is unmatched: about six minutes, as a mapping follows its object by seconds. */
export const MAX_ROUTE_ATTEMPTS = 10;

const BASE_MS = 1_000;
const CAP_MS = 2 * 60 * 60 * 1_000;

/**
 * Milliseconds until the next attempt: exponential from 1 s, at most 2 h, the upper half of it random.
 * @param attempt attempts made so far, from 1
 * @param random in [0, 1): without jitter an outage's events all come back in the same instant
 */
export function backoffMs(attempt: number, random: number): number {
  const full = Math.min(CAP_MS, BASE_MS * 2 ** Math.min(attempt - 1, 30));
  return Math.round(full / 2 + (full / 2) * random);
}

/** Where a failed attempt leads. */
export function afterFailure(
  attempt: number,
  random: number,
  max = MAX_ATTEMPTS,
): { state: 'ready' | 'dead'; delayMs: number } {
  return attempt >= max ? { state: 'dead', delayMs: 0 } : { state: 'ready', delayMs: backoffMs(attempt, random) };
}
