import type { AuditAction } from './actions.ts';

/**
 * Who did it. `person`: a person's id; `api_key`: the key's id, never the key; `platform`: a platform
 * administrator ('admin-token' or a person's id); `system`: our own process, e.g. 'worker', 'stripe'.
 */
export type Actor =
  | { kind: 'person'; id: string }
  | { kind: 'api_key'; id: string }
  | { kind: 'platform'; id: string }
  | { kind: 'system'; id: string };

/** One thing that happened. `details` is small, JSON, and holds no secret: it is kept for years. */
export interface AuditEntry {
  /** For a relay that may repeat itself: the same id is written once. A new one when absent. */
  id?: string;
  action: AuditAction;
  actor: Actor;
  /** What it was done to; `type` is the singular noun ('order'), `id` our id. */
  object: { type: string; id: string };
  details?: Record<string, unknown>;
  /** Taken from the log context when absent. */
  requestId?: string;
}

/** Bytes of JSON in one entry's details: an audit row says what happened, it does not archive bodies. */
export const MAX_DETAILS_BYTES = 8192;

/** Names that must never be recorded: a log kept for years is the worst place for a password. */
const SECRET_NAME = /(^|_)(password|secret|token|api_key|authorization|cookie)$/;

/**
 * The details as JSON text, or a TypeError (a fault of ours, never of a client) when they are too large,
 * cannot be written as JSON, or carry a field named like a secret.
 */
export function detailsJson(details: Record<string, unknown> | undefined): string {
  const json = JSON.stringify(details ?? {}, (key, value) => {
    if (SECRET_NAME.test(key)) throw new TypeError(`audit details must not hold "${key}"`);
    // PostgreSQL's jsonb refuses U+0000; failing here names the culprit.
    if (typeof value === 'string' && value.includes('\u0000')) throw new TypeError(`audit detail "${key}" holds NUL`);
    return value;
  });
  const bytes = Buffer.byteLength(json);
  if (bytes > MAX_DETAILS_BYTES)
    throw new TypeError(`audit details are ${bytes} bytes, the limit is ${MAX_DETAILS_BYTES}`);
  return json;
}
