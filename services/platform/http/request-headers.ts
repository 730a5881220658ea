import type { IncomingMessage } from 'node:http';
import { fail } from '#platform/errors/index.ts';
import { newId } from '#platform/ids/index.ts';

// Node keeps the first of these and drops the rest, or joins them: a proxy in front may have judged another one.
const SINGLE = new Set([
  'host',
  'authorization',
  'content-type',
  'origin',
  'klar-tenant',
  'idempotency-key',
  'x-request-id',
]);

// RFC 3986 host and port, without user info: a name, an IPv4 address or an IPv6 address in brackets.
const HOST = /^([a-z0-9_]([a-z0-9._-]{0,253}[a-z0-9_.])?|\[[0-9a-f:.]{2,45}\])(:\d{1,5})?$/i;

/**
 * Refuses what two parsers can read in two ways.
 * @throws KlarError invalid `invalid_host`, `duplicate_header`
 */
export function checkHeaders(req: IncomingMessage): void {
  const seen = new Set<string>();
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    const name = (req.rawHeaders[i] ?? '').toLowerCase();
    if (!SINGLE.has(name)) continue;
    if (seen.has(name)) throw fail.invalid('duplicate_header', `The header ${name} is sent twice.`);
    seen.add(name);
  }
  if (!HOST.test(req.headers.host ?? ''))
    throw fail.invalid('invalid_host', 'The Host header is missing or malformed.');
}

const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{7,127}$/;

/** The caller's request id where it is harmless in logs and headers, else a new one. */
export function requestIdOf(req: IncomingMessage): string {
  const sent = req.headers['x-request-id'];
  return typeof sent === 'string' && REQUEST_ID.test(sent) ? sent : newId('req');
}

/** Visible ASCII and spaces inside: what every proxy passes on unchanged. */
export const IDEMPOTENCY_KEY = /^[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?$/;

/** @throws KlarError invalid `invalid_idempotency_key` */
export function idempotencyKeyOf(req: IncomingMessage): string | undefined {
  const key = req.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || !IDEMPOTENCY_KEY.test(key)) {
    throw fail.invalid('invalid_idempotency_key', 'Idempotency-Key must be 1 to 255 printable ASCII characters.');
  }
  return key;
}

const SLUG = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * The slug in `Klar-Tenant`. One that cannot exist is told as one that does not.
 * @throws KlarError not_found
 */
export function tenantSlugOf(req: IncomingMessage): string | undefined {
  const slug = req.headers['klar-tenant'];
  if (slug === undefined) return undefined;
  if (typeof slug !== 'string' || !SLUG.test(slug)) throw fail.notFound();
  return slug;
}

/** The client's address; an IPv4 one as such, also when the socket is IPv6 (`::ffff:192.0.2.1`). */
export function addressOf(req: { ip?: string | undefined }): string {
  const ip = req.ip ?? '';
  return ip.startsWith('::ffff:') && ip.includes('.') ? ip.slice('::ffff:'.length) : ip;
}
