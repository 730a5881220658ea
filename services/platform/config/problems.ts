export type Problem = { name: string; problem: string; mend: string };

/** Every problem of the settings at once; a main prints `message` and exits 78 (EX_CONFIG). */
export class ConfigError extends Error {
  readonly problems: readonly Problem[];
  constructor(process: string, problems: readonly Problem[]) {
    const lines = problems.map((p) => `  ${p.name}: ${p.problem}\n    -> ${p.mend}`);
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    super(`The settings of ${process} have ${count}:\n${lines.join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** The closest of the names, when it is close enough to be what was meant. */
export function didYouMean(name: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let distance = Math.max(2, Math.floor(name.length / 4)) + 1;
  for (const candidate of names) {
    const d = editDistance(name, candidate);
    if (d < distance) [best, distance] = [candidate, d];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next[j] = Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
