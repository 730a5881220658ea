import type { Clock } from '#platform/clock/index.ts';
import type { Reading } from './envelope.ts';
import { describeProblems, type FlagSet } from './flag-set.ts';
import { shrinkProblem } from './lint.ts';
import { at, type FlagProblem } from './problem.ts';

export type FlagSource = 'file' | 'database';

export type FlagState = {
  /** Of the flags that are asked now; null while the defaults of the code are. */
  version: string | null;
  /** Which of two sets is the later, as the controller counts; null for a document of one's own, and before the first. */
  sequence: number | null;
  /** Who brought them. */
  source: FlagSource | null;
  loadedAt: Date | null;
  /** Why what lies there is not what is in use. */
  problem: { since: Date; source: FlagSource; text: string; problems: FlagProblem[] } | null;
};

export type FlagStore = {
  /** The last good flags; undefined before the first. */
  current(): FlagSet | undefined;
  state(): FlagState;
  /** Called after each change of the flags in use. Returns how to end that. */
  onChange(listener: (set: FlagSet) => void): () => void;
  checkNow(): void;
  close(): void;
};

export type FlagEvent =
  | { change: 'loaded'; version: string; previous: string | null; source: FlagSource }
  | { change: 'kept'; version: string | null; problem: string; source: FlagSource }
  /** What was wrong is mended; whether other flags are in use since is told by itself. */
  | { change: 'recovered'; version: string | null; source: FlagSource };

export type FlagIntake = Omit<FlagStore, 'checkNow' | 'close'> & {
  /** Takes what a source has, if it is good and later than what is in use. */
  offer(source: FlagSource, reading: Reading): void;
  /** Why an own document that is good would not be taken; a set with a sequence was judged by the controller. */
  refusal(reading: Reading): readonly FlagProblem[];
};

/**
 * The flags in use, whoever brings them. What is bad is told once and changes nothing: the last good flags stay, and
 * before the first the defaults of the code. Of two sets the one with the greater sequence wins, whoever was faster.
 */
export function createFlagIntake(input: {
  clock: Clock;
  report: (event: FlagEvent) => void;
  /** Whether somebody accepted that this version takes much away. */
  acceptsShrink: (version: string) => boolean;
  /** What else mends a refused shrinking. */
  shrinkHint?: string;
}): FlagIntake {
  const { clock, report } = input;
  let set: FlagSet | undefined;
  let sequence: number | null = null;
  let source: FlagSource | null = null;
  let loadedAt: Date | null = null;
  const wrong = new Map<FlagSource, NonNullable<FlagState['problem']>>();
  const listeners = new Set<(set: FlagSet) => void>();

  function refusal(reading: Reading): readonly FlagProblem[] {
    if (!reading.ok) return reading.problems;
    if (!set) return [];
    if (reading.sequence !== undefined) {
      // Of two sets under one sequence nobody knows which is meant; the controller ends it with a later one.
      if (reading.sequence !== sequence || reading.set.version === set.version) return [];
      const problem = `has sequence ${sequence} with version ${reading.set.version}, which is version ${set.version} here`;
      return [at(['sequence'], problem, 'Change the source instead; the controller writes this one.')];
    }
    const shrink = shrinkProblem(set, reading.set);
    if (!shrink || input.acceptsShrink(reading.set.version)) return [];
    return [{ ...shrink, mend: `${shrink.mend}${input.shrinkHint ?? ''}` }];
  }

  function complain(from: FlagSource, problems: readonly FlagProblem[]): void {
    const text = describeProblems(problems);
    if (wrong.get(from)?.text === text) return;
    wrong.set(from, { since: clock.now(), source: from, text, problems: [...problems] });
    report({ change: 'kept', version: set?.version ?? null, problem: text, source: from });
  }

  function use(from: FlagSource, next: FlagSet, nextSequence: number | undefined): void {
    const before = set;
    if (nextSequence !== undefined) {
      // The file is up to a minute behind the database: older is no problem and no news.
      if (sequence !== null && nextSequence <= sequence) return;
    }
    sequence = nextSequence ?? null;
    if (before?.version === next.version) return;
    set = next;
    source = from;
    loadedAt = clock.now();
    report({ change: 'loaded', version: next.version, previous: before?.version ?? null, source: from });
    for (const listener of listeners) listener(next);
  }

  return {
    refusal,
    offer(from, reading) {
      const problems = refusal(reading);
      if (!reading.ok || problems.length > 0) return complain(from, problems);
      if (wrong.delete(from)) report({ change: 'recovered', version: set?.version ?? null, source: from });
      use(from, reading.set, reading.sequence);
    },
    current: () => set,
    state: () => ({
      version: set?.version ?? null,
      sequence,
      source,
      loadedAt,
      problem: wrong.get('database') ?? wrong.get('file') ?? null,
    }),
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
