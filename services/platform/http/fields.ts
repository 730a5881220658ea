import { z } from 'zod';

/** Key under which a schema's `.meta()` replaces what zod would write into the OpenAPI document. */
export const OPENAPI = 'x-klar-openapi';

// biome-ignore lint/suspicious/noControlCharactersInRegex: NUL is the one character it is about
const NO_NUL = /^[^\u0000]*$/;

/**
 * Text of `min`..`max` characters (code points, as JSON Schema counts them; a String's length counts UTF-16 units, so
 * that zod's own max would refuse 60 emoji where the document promises 100 characters). NUL is refused: PostgreSQL has no
 * text with it.
 * @param pattern anchored, and read as JSON Schema reads it: by code points, its flags ignored
 */
export function text({ min = 1, max, pattern = NO_NUL }: { min?: number; max: number; pattern?: RegExp }) {
  const expected = new RegExp(pattern.source, 'u');
  return (
    z
      .string()
      .refine((s) => !s.includes('\0') && s.isWellFormed(), { message: 'must be text without NUL' })
      // Ends here when it fails: a pattern may take quadratic time on a megabyte.
      .refine((s) => inRange(s, min, max), { message: `must have ${min} to ${max} characters`, abort: true })
      .refine((s) => expected.test(s), { message: `must match ${pattern.source}`.slice(0, 300) })
      .meta({ [OPENAPI]: { type: 'string', minLength: min, maxLength: max, pattern: pattern.source } })
  );
}

function inRange(s: string, min: number, max: number): boolean {
  // The unit count bounds the code-point count from above, so that a megabyte is not spread into an array.
  if (s.length < min || s.length > max * 2) return false;
  const characters = [...s].length;
  return characters >= min && characters <= max;
}

/** Decimal integer in a query string. `Number('')` is 0 and `Number('0x10')` is 16: neither is what a client meant. */
export function queryInt({ min, max }: { min: number; max: number }) {
  return z
    .string()
    .regex(/^-?\d{1,15}$/, 'must be an integer')
    .transform(Number)
    .pipe(z.number().int().min(min).max(max))
    .meta({ [OPENAPI]: { type: 'integer', minimum: min, maximum: max } });
}

/** `true` or `false` in a query string. */
export function queryBool() {
  return z
    .enum(['true', 'false'])
    .transform((s) => s === 'true')
    .meta({ [OPENAPI]: { type: 'boolean' } });
}
