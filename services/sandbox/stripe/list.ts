import type { Range } from './params.ts';
import { refuse } from './stripe-error.ts';

/** A page of a list as Stripe sends it. */
export type ListPage<T> = { object: 'list'; url: string; has_more: boolean; data: T[] };

type PageParams = { limit?: number; starting_after?: string; ending_before?: string };

/**
 * One page, newest first. `items` come oldest first, as the store keeps them. With `ending_before` the page that
 * ends right before that object. https://docs.stripe.com/api/pagination
 */
export function listPage<T extends { id: string }>(
  items: readonly T[],
  params: PageParams,
  { url, kind }: { url: string; kind: string },
): ListPage<T> {
  if (params.starting_after && params.ending_before) {
    throw refuse.invalid('You may only specify one of these parameters: starting_after, ending_before.', {
      code: 'parameters_exclusive',
    });
  }
  const limit = params.limit ?? 10;
  const newestFirst = [...items].reverse();
  const positionOf = (id: string, param: string) => {
    const index = newestFirst.findIndex((item) => item.id === id);
    if (index < 0) throw refuse.noSuch(kind, id, param, 400);
    return index;
  };
  if (params.ending_before) {
    const end = positionOf(params.ending_before, 'ending_before');
    const start = Math.max(0, end - limit);
    return { object: 'list', url, has_more: start > 0, data: newestFirst.slice(start, end) };
  }
  const start = params.starting_after ? positionOf(params.starting_after, 'starting_after') + 1 : 0;
  const data = newestFirst.slice(start, start + limit);
  return { object: 'list', url, has_more: start + data.length < newestFirst.length, data };
}

/** Whether a time lies in a `created` filter. */
export function inRange(at: number, range: unknown): boolean {
  if (range === undefined) return true;
  const { gt, gte, lt, lte } = range as Range;
  return (
    (gt === undefined || at > gt) &&
    (gte === undefined || at >= gte) &&
    (lt === undefined || at < lt) &&
    (lte === undefined || at <= lte)
  );
}
