import { fail } from '#platform/errors/index.ts';

/** Bounds how many requests a process works on at once. */
export interface Overload {
  /** @throws KlarError unavailable (`overloaded`) when there is no place */
  enter(): Place;
}

/** What one request holds until its answer. */
export interface Place {
  /** Without the place, while something is waited for that costs nothing, e.g. the rest of a body. */
  outside<T>(waiting: () => Promise<T>): Promise<T>;
  /** Gives it back; again is no harm. */
  leave(): void;
}

/**
 * Work that is taken on beyond what a process gets done makes all of it late, until every answer comes after its caller
 * has left, and the repetitions keep it so. Who finds no place is told at once, which costs next to nothing.
 *
 * @param onRefused counts
 */
export function createOverload(limit: number, onRefused: () => void = () => {}): Overload {
  let taken = 0;
  return {
    enter() {
      if (taken >= limit) {
        onRefused();
        throw fail.unavailable('overloaded', 'Too many requests are under way; try again shortly.', 2);
      }
      let held = true;
      let left = false;
      taken += 1;
      const release = () => {
        if (held) taken -= 1;
        held = false;
      };
      return {
        async outside(waiting) {
          release();
          try {
            return await waiting();
          } finally {
            // Who was let in once is not turned away after having sent its body.
            if (!left) {
              held = true;
              taken += 1;
            }
          }
        },
        leave() {
          left = true;
          release();
        },
      };
    },
  };
}
