import { fail } from '#platform/errors/index.ts';

/** One at a time per key. */
export interface Turnstile {
  run<T>(key: string, fn: () => Promise<T>): Promise<T>;
}

/**
 * Logins of one account go one after the other, so that guesses sent at once are counted one by one; they wait here,
 * where waiting costs nothing, and not with a permit or a connection in hand.
 */
export function createTurnstile(limit = 64): Turnstile {
  const lines = new Map<string, { length: number; tail: Promise<unknown> }>();
  return {
    async run(key, fn) {
      const line = lines.get(key) ?? { length: 0, tail: Promise.resolve() };
      if (line.length >= limit) throw fail.rateLimited(2, 'login_busy', 'Too many logins to this account at once.');
      line.length += 1;
      const turn = line.tail.then(fn);
      line.tail = turn.catch(() => {});
      lines.set(key, line);
      try {
        return await turn;
      } finally {
        line.length -= 1;
        if (line.length === 0) lines.delete(key);
      }
    },
  };
}
