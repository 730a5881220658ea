import { z } from 'zod';
import { hmacSha256, randomToken, safeEqual } from '#platform/crypto/index.ts';
import { fail } from '#platform/errors/index.ts';
import { OPENAPI, queryInt, text } from './fields.ts';

/**
 * Opaque list cursors: the sort values of the last row, signed. Opaque, so that the order of a list can change without
 * breaking a client; signed, so that nobody tries values the server did not hand out.
 */

// Until `setCursorKeys` is called, in tests, a key of this process: its cursors end with it.
const own = [randomToken(32)];
let keys: () => readonly string[] = () => own;

/** Called once by a process that serves lists. The first key signs, all are accepted, so that a rotation breaks no list. */
export function setCursorKeys(accepted: () => readonly string[]): void {
  keys = accepted;
}

export type CursorValue = string | number | null;

/** @param list name of the operation: a cursor of one list is refused by another. */
export function encodeCursor(values: readonly CursorValue[], list = ''): string {
  const payload = Buffer.from(JSON.stringify([list, ...values])).toString('base64url');
  return `${payload}.${signature(keys()[0] ?? '', payload)}`;
}

/** @throws KlarError unprocessable `invalid_cursor` */
export function decodeCursor(cursor: string, list = ''): CursorValue[] {
  const [payload = '', sent = '', ...rest] = cursor.split('.');
  if (rest.length > 0 || !keys().some((key) => safeEqual(sent, signature(key, payload)))) throw bad();
  const [name, ...values] = JSON.parse(Buffer.from(payload, 'base64url').toString()) as CursorValue[];
  if (name !== list) throw bad();
  return values;
}

const bad = () => fail.unprocessable('invalid_cursor', 'This cursor was not given by this list.');

function signature(key: string, payload: string): string {
  // 128 bits: a cursor grants nothing, the signature only keeps foreign values out.
  return hmacSha256(key, `klar cursor ${payload}`).subarray(0, 16).toString('base64url');
}

/** `limit` (1..200, default 50) and `cursor`: spread it into a list route's query object. */
export const listQuery = {
  limit: queryInt({ min: 1, max: 200 })
    .optional()
    .transform((n) => n ?? 50)
    .meta({ [OPENAPI]: { type: 'integer', minimum: 1, maximum: 200, default: 50 } }),
  cursor: text({ max: 1024, pattern: /^[A-Za-z0-9._-]+$/ }).optional(),
};

/** Schema of a list answer. */
export function listOf<S extends z.ZodType>(item: S) {
  return z.object({ data: z.array(item), next_cursor: z.string().nullable() });
}
