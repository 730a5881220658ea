import { type FSWatcher, readFileSync, statSync, watch } from 'node:fs';
import path from 'node:path';
import type { Clock } from '#platform/clock/index.ts';
import { compileFlags, describeProblems, type FlagSet } from './flag-set.ts';
import type { CodeFlag } from './flags.ts';
import { shrinkProblem } from './lint.ts';
import { at, type FlagProblem } from './problem.ts';
import { MAX_BYTES } from './syntax.ts';

/** inotify does not see every network or overlay file system; a flip must not wait for a restart there. */
const POLL_MS = 1_000;
/** A writer that is not atomic is seen half-way; what is still bad this much later is told. */
const SETTLE_MS = 50;

export type FlagState = {
  /** Of the flags that are asked now; null while the defaults of the code are. */
  version: string | null;
  loadedAt: Date | null;
  /** Why the document that lies there is not the one in use. */
  problem: { since: Date; text: string; problems: FlagProblem[] } | null;
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
  | { change: 'loaded'; version: string; previous: string | null }
  | { change: 'kept'; version: string | null; problem: string };

export type FlagStoreOptions = {
  file: string;
  code: Readonly<Record<string, CodeFlag>>;
  clock: Clock;
  report: (event: FlagEvent) => void;
  /** A file that holds the version whose shrinking somebody accepted; where there is none, a restart accepts it. */
  acceptShrinkFile?: string;
};

/**
 * Flags of a file, read at once and again when it changes. What is bad, too small or gone is told once and changes
 * nothing: the last good flags stay in use, and before the first the defaults of the code.
 */
export function watchFlags({ file, code, clock, report, acceptShrinkFile }: FlagStoreOptions): FlagStore {
  let set: FlagSet | undefined;
  let loadedAt: Date | null = null;
  let problem: FlagState['problem'] = null;
  let pending: NodeJS.Timeout | undefined;
  let last: { source: string; reading: Reading } | undefined;
  const listeners = new Set<(set: FlagSet) => void>();

  function look(settled: string | undefined): void {
    const source = readSource(file);
    // Parsing each second what did not change would be all that an idle process does.
    const reading = last && source.key === last.source ? last.reading : read(source, code);
    last = { source: source.key, reading };
    const problems = reading.ok ? refuses(set, reading.set, acceptShrinkFile) : reading.problems;
    if (reading.ok && problems.length === 0) {
      problem = null;
      accept(reading.set);
      return;
    }
    const text = describeProblems(problems);
    if (problem?.text === text) return;
    // At a start there is nothing to wait with: the state must be right when it is first asked.
    if (settled !== source.key && settled !== '') {
      // One timer at a time: a file that changes all the time would put off its complaint for ever.
      pending ??= setTimeout(() => {
        pending = undefined;
        look(source.key);
      }, SETTLE_MS).unref();
      return;
    }
    problem = { since: clock.now(), text, problems };
    report({ change: 'kept', version: set?.version ?? null, problem: text });
  }

  function accept(next: FlagSet): void {
    if (set?.version === next.version) return;
    const previous = set?.version ?? null;
    set = next;
    loadedAt = clock.now();
    report({ change: 'loaded', version: next.version, previous });
    for (const listener of listeners) listener(next);
  }

  look('');
  const timer = setInterval(() => look(undefined), POLL_MS).unref();
  let watcher: FSWatcher | undefined;
  try {
    // The folder: kubelet swaps a link in it, an editor replaces the file, and both end a watch of the file itself.
    watcher = watch(path.dirname(file), { persistent: false }, () => look(undefined));
    watcher.on('error', () => watcher?.close()); // polling goes on
  } catch {
    // No inotify here, or no watches left: polling finds the change within a second.
  }
  return {
    current: () => set,
    state: () => ({ version: set?.version ?? null, loadedAt, problem }),
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    checkNow: () => look(undefined),
    close() {
      clearInterval(timer);
      clearTimeout(pending);
      watcher?.close();
    },
  };
}

type Reading = { ok: true; set: FlagSet } | { ok: false; problems: FlagProblem[] };
/** `key` is equal when there is nothing new to parse. */
type Source = { key: string; text: string } | { key: string; problem: FlagProblem };

function readSource(file: string): Source {
  const refuse = (problem: string, mend: string): Source => ({ key: `!${problem}`, problem: at([], problem, mend) });
  try {
    const { size } = statSync(file);
    // Before reading: a file of gigabytes must not become a string first.
    if (size > MAX_BYTES)
      return refuse(`is ${size} bytes long, the most is ${MAX_BYTES}`, 'Take out what is not flags.');
    const text = readFileSync(file, 'utf8');
    return { key: `=${text}`, text };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return refuse(
      `cannot be read (${file}: ${code ?? 'unknown error'})`,
      'Put the file back, readable for this process.',
    );
  }
}

const read = (source: Source, code: FlagStoreOptions['code']): Reading =>
  'text' in source ? compileFlags(source.text, code) : { ok: false, problems: [source.problem] };

function refuses(before: FlagSet | undefined, after: FlagSet, acceptFile: string | undefined): FlagProblem[] {
  const shrink = before && shrinkProblem(before, after);
  if (!shrink) return [];
  if (acceptFile === undefined) return [{ ...shrink, mend: `${shrink.mend} A restart does that, too.` }];
  const accepted = readSource(acceptFile);
  return 'text' in accepted && accepted.text.trim() === after.version ? [] : [shrink];
}
