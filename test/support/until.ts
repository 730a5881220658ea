import { setTimeout as pause } from 'node:timers/promises';

/**
 * Waits for a condition and returns its first truthy value. A condition that throws counts as "not yet"; its last
 * error is the cause of the failure.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 5_000, everyMs = 15, what = 'condition' }: { timeoutMs?: number; everyMs?: number; what?: string } = {},
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline)
      throw new Error(`${what} did not come true within ${timeoutMs} ms`, { cause: last });
    await pause(everyMs);
  }
}
