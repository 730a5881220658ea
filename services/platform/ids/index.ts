import { randomFillSync } from 'node:crypto';

/** The platform's own rows (mails of identity, platform audit): a real row of app.tenants, slug `_platform`. */
export const SYSTEM_TENANT_ID = 'ten_00000000000070008000000000000000';

/** What each id starts with; the prefix makes a wrong id visible in a log and refusable at the edge. */
export const ID_PREFIXES = {
  tenant: 'ten',
  membership: 'mem',
  invitation: 'inv',
  apiKey: 'key',
  person: 'usr',
  session: 'ses',
  course: 'crs',
  lesson: 'les',
  enrollment: 'enr',
  service: 'svc',
  order: 'ord',
  orderLine: 'lin',
  payment: 'pay',
  attempt: 'att',
  refund: 'ref',
  event: 'evt',
  delivery: 'dlv',
  audit: 'aud',
} as const;

export type Ids = { newId(prefix: string): string };

const pool = Buffer.alloc(4096);
let offset = pool.length;
let lastMs = 0;
let counter = 0;

/**
 * `${prefix}_` and a UUIDv7 (RFC 9562, method 1: a 12-bit counter in rand_a) as 32 hex digits without hyphens.
 * Ids of one process rise even within a millisecond, so an index on them grows at its right end.
 */
export function newId(prefix: string, nowMs = Date.now()): string {
  if (offset + 10 > pool.length) {
    randomFillSync(pool);
    offset = 0;
  }
  const bytes = pool.subarray(offset, offset + 10);
  offset += 10;
  if (nowMs > lastMs) {
    lastMs = nowMs;
    counter = bytes.readUInt16BE(8) & 0x7ff; // the top bit stays free: room to count up within the millisecond
  } else if (++counter > 0xfff) {
    lastMs += 1; // a clock that stood still or went back: borrow from the future rather than repeat
    counter = 0;
  }
  const time = lastMs.toString(16).padStart(12, '0');
  const version = (0x7000 | counter).toString(16);
  const variant = (0x80 | ((bytes[0] ?? 0) & 0x3f)).toString(16);
  return `${prefix}_${time}${version}${variant}${bytes.toString('hex', 1, 8)}`;
}

export const systemIds: Ids = { newId: (prefix) => newId(prefix) };

/** Whether a text has the form of an id of that kind; says nothing about whether it exists. */
export function isId(prefix: string, text: string): boolean {
  return text.length === prefix.length + 33 && text.startsWith(`${prefix}_`) && /^[0-9a-f]{32}$/.test(text.slice(-32));
}
