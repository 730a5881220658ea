import type { Value } from './types.ts';

/**
 * Makes JSON of objects before the driver sees them. A value it cannot write (a circular object) makes the driver
 * close the prepared statement on the server while it goes on believing in it: every later use of the statement on
 * that connection would fail. Here it throws before anything was sent.
 */
export function toParameters(values: readonly Value[]): unknown[] {
  return values.map(toParameter);
}

function toParameter(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return invalid(value) ? failDate() : value;
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(toParameter);
  return JSON.stringify(value);
}

const invalid = (date: Date) => Number.isNaN(date.getTime());

function failDate(): never {
  throw new TypeError('an invalid Date cannot be a parameter');
}
