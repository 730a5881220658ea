/** The inbox of provider events and the map from provider objects to tenants. See README.md. */
export type { ApplyOutcome, EventHandler, InboxEvent, PrepareContext } from './handler.ts';
export { eventHandler, PermanentEventError } from './handler.ts';
