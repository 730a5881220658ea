/** The inbox of provider events and the map from provider objects to tenants. See README.md. */
export { EVENT_STATES, type EventState, MAX_ATTEMPTS, type OperatorVerb, REPLAY_COOLDOWN_S } from './event.ts';
export type { ApplyOutcome, EventHandler, InboxEvent, PrepareContext } from './handler.ts';
export { eventHandler, PermanentEventError } from './handler.ts';
export { type Claimed, createInbox, type HandleOutcome, type Inbox, type InboxInput } from './inbox.ts';
export { mapProviderObject } from './objects.ts';
export {
  type EventFilter,
  type EventView,
  listEvents,
  type RequeueInput,
  type RequeueResult,
  readPayload,
  requeueEvents,
  showEvents,
} from './operate.ts';
export { heartbeats, type InboxNumbers } from './store/health.ts';
export { compareKeys, insertNewEvents, type NewEvent } from './store/insert.ts';
export { oldEvents, oldHeartbeats, oldPayloads } from './store/retention.ts';
