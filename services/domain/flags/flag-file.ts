import { type FSWatcher, readFileSync, statSync, watch } from 'node:fs';
import path from 'node:path';
import type { Clock } from '#platform/clock/index.ts';
import { compileLive, LIVE_FILE, parseLive, type Reading } from './envelope.ts';
import { compileFlags } from './flag-set.ts';
import { createFlagIntake, type FlagEvent, type FlagIntake, type FlagStore } from './flag-store.ts';
import type { CodeFlag } from './flags.ts';
import { at, type FlagProblem } from './problem.ts';
import { MAX_BYTES } from './syntax.ts';

/** inotify does not see every network or overlay file system; a flip must not wait for a restart there. */
const POLL_MS = 1_000;
/** A writer that is not atomic is seen half-way; what is still bad this much later is told. */
const SETTLE_MS = 50;

export type FlagStoreOptions = {
  file: string;
  code: Readonly<Record<string, CodeFlag>>;
  clock: Clock;
  report: (event: FlagEvent) => void;
  /** A file that holds the version whose shrinking somebody accepted; where there is none, a restart accepts it. */
  acceptShrinkFile?: string;
};

/** Flags of a file, read at once and again when it changes: a document of one's own, or a live one of the controller. */
export function watchFlags({ file, code, clock, report, acceptShrinkFile }: FlagStoreOptions): FlagStore {
  const intake = createFlagIntake({
    clock,
    report,
    acceptsShrink: (version) => acceptShrinkFile !== undefined && accepted(acceptShrinkFile) === version,
    ...(acceptShrinkFile === undefined ? { shrinkHint: ' A restart does that, too.' } : {}),
  });
  const watching = watchFlagFile({ file, code, intake });
  return { ...intake, checkNow: watching.checkNow, close: watching.close };
}

/** Offers what a file holds, now and whenever it changes, until closed. */
export function watchFlagFile(input: { file: string; code: FlagStoreOptions['code']; intake: FlagIntake }): {
  checkNow(): void;
  close(): void;
} {
  const { file, code, intake } = input;
  let pending: NodeJS.Timeout | undefined;
  let last: { source: string; reading: Reading } | undefined;

  function look(settled: boolean): void {
    const source = readSource(file);
    // Parsing each second what did not change would be all that an idle process does.
    const reading = last && source.key === last.source ? last.reading : read(source, file, code);
    last = { source: source.key, reading };
    // At a start there is nothing to wait with: the state must be right when it is first asked.
    if (intake.refusal(reading).length > 0 && !settled) {
      // One timer at a time, and whatever is bad then is told: a file that changes all the time would put it off for ever.
      pending ??= setTimeout(() => {
        pending = undefined;
        look(true);
      }, SETTLE_MS).unref();
      return;
    }
    intake.offer('file', reading);
  }

  look(true);
  const timer = setInterval(() => look(false), POLL_MS).unref();
  let watcher: FSWatcher | undefined;
  try {
    // The folder: kubelet swaps a link in it, an editor replaces the file, and both end a watch of the file itself.
    watcher = watch(path.dirname(file), { persistent: false }, () => look(false));
    watcher.on('error', () => watcher?.close()); // polling goes on
  } catch {
    // No inotify here, or no watches left: polling finds the change within a second.
  }
  return {
    checkNow: () => look(false),
    close() {
      clearInterval(timer);
      clearTimeout(pending);
      watcher?.close();
    },
  };
}

/** `key` is equal when there is nothing new to parse. */
type Source = { key: string; text: string } | { key: string; problem: FlagProblem };

function readSource(file: string): Source {
  const refuse = (problem: string, mend: string): Source => ({ key: `!${problem}`, problem: at([], problem, mend) });
  try {
    const { size } = statSync(file);
    // Before reading: a file of gigabytes must not become a string first. A live one has its sequence and version, too.
    if (size > MAX_BYTES + 100)
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

function read(source: Source, file: string, code: FlagStoreOptions['code']): Reading {
  if (!('text' in source)) return { ok: false, problems: [source.problem] };
  const live = parseLive(source.text);
  if (live) return compileLive(live, code);
  if (path.basename(file) !== LIVE_FILE) return compileFlags(source.text, code);
  const problem = 'is not what the controller writes: it has no sequence and version';
  return { ok: false, problems: [at([], problem, 'Change the source instead; the controller writes this one again.')] };
}

function accepted(file: string): string | undefined {
  const found = readSource(file);
  return 'text' in found ? found.text.trim() : undefined;
}
