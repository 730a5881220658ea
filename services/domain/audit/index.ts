export { AUDIT_ACTIONS, type AuditAction, isAuditAction } from './actions.ts';
export { type Actor, type AuditEntry, MAX_DETAILS_BYTES } from './entry.ts';
export { append } from './service.ts';
