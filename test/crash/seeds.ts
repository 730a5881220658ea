/** How many variants of each crash are tried: KLAR_SEEDS, 20 unless said. */
export const SEEDS = Number(process.env.KLAR_SEEDS ?? 20);

/** A small repeatable random generator (mulberry32): a failing seed can be run again. */
export function randomOf(seed: number): () => number {
  let state = (seed * 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
