import { z } from 'zod';
import { decodeCursor, encodeCursor, text } from '#platform/http/index.ts';

/** The `:id` of a path: anything but NUL, because an id in another form is as unknown as one that was never given. */
export const idParams = z.object({ id: text({ max: 64 }) });

/** The sort value a page begins after; undefined on the first page. */
export function cursorOf(cursor: string | undefined, list: string): string | undefined {
  return cursor === undefined ? undefined : String(decodeCursor(cursor, list)[0]);
}

/**
 * A page of rows by view.
 * @param rows read with a limit of one more than asked for: whether it came says whether there is a next page
 */
export function pageOf<Row, View>(
  rows: readonly Row[],
  limit: number,
  list: string,
  { key, view }: { key: (row: Row) => string | number; view: (row: Row) => View },
): { data: View[]; next_cursor: string | null } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    data: shown.map(view),
    next_cursor: rows.length > limit && last !== undefined ? encodeCursor([key(last)], list) : null,
  };
}
