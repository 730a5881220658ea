import pg from 'pg';

const INT8 = 20;
const INT8_ARRAY = 1016;
const DATE = 1082;

function int8(text: string): number {
  const value = Number(text);
  // Rounding a bigint silently would change an amount of money.
  if (!Number.isSafeInteger(value)) throw new RangeError(`bigint ${text} is beyond 2^53 - 1`);
  return value;
}

const parseTextArray = pg.types.getTypeParser(1009 as never) as (text: string) => (string | null)[];

const parsers: Record<number, (text: string) => unknown> = {
  [INT8]: int8,
  [INT8_ARRAY]: (text) => parseTextArray(text).map((item) => (item === null ? null : int8(item))),
  // A date has no zone; the driver's default would make it midnight of the machine's zone.
  [DATE]: (text) => text,
};

/** Parsers of the data layer: int8 as a safe number, date as text, the rest as the driver has it. */
export const typeParsers = {
  getTypeParser(oid: number, format?: string): (text: string) => unknown {
    const own = format === 'binary' ? undefined : parsers[oid];
    return own ?? (pg.types.getTypeParser(oid as never, format as never) as (text: string) => unknown);
  },
};
