import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '#platform/clock/index.ts';
import type { Db } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { compileLive } from './envelope.ts';
import { watchFlagFile } from './flag-file.ts';
import { createFlagIntake, type FlagEvent, type FlagStore } from './flag-store.ts';
import { FLAGS } from './flags.ts';
import { createFlags, type Flags } from './provider.ts';
import { hasLaterFlags, liveFlags } from './store.ts';

/** A flip is everywhere within 5 s (p99): a second of waiting leaves room for a slow answer and for one that failed. */
const POLL_MS = 1_000;
/**
 * A question without an answer for so long is given up, and its connection with it: a network that was cut says nothing,
 * and the pool's own limit (30 s in the worker) would be the flip's delay.
 */
const ANSWER_MS = 3_000;
/** While one waits another is asked beside it, over a connection of its own; more would only be a crowd. */
const QUESTIONS = 2;
/** So long a start waits for the database's first answer: the file, or the code, may have on what was turned off. */
const FIRST_ANSWER_MS = 2_500;
/** In that time it is asked this often, as somebody waits. */
const FIRST_POLL_MS = 100;

export type LiveFlagsInput = {
  /** The live document of the controller as it is mounted, or a document of one's own; undefined: none. */
  file: string | undefined;
  /** A login that may ask `ops.live_flags`. */
  db: Db;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  pollMs?: number;
};

/** `answered`: the database has said once what it has, taken or not, or need not be asked. */
export type LiveFlagStore = FlagStore & { answered(): boolean };

/**
 * The flags of a process: what the mounted file says at the start and while the database is away, and what the database
 * says within about a second. Of the two the later set wins; a document of one's own, in a file that is not called
 * `live.json`, wins over both.
 */
export function openFlags(input: LiveFlagsInput): LiveFlagStore {
  const { file, log, metrics } = input;
  const db = input.db.aside({ poolSize: QUESTIONS, answerMs: ANSWER_MS });
  const measured = measure(metrics);
  const intake = createFlagIntake({
    clock: input.clock,
    report: (event) => {
      tell(log, event);
      measured.show(intake);
    },
    acceptsShrink: () => false,
    shrinkHint: ' A restart does that, too.',
  });
  const watching = file === undefined ? undefined : watchFlagFile({ file, code: FLAGS, intake });
  measured.show(intake);

  let closed = false;
  let answered = false;
  let timer: NodeJS.Timeout | undefined;
  let waiting = 0;
  const openedAt = performance.now();
  /** Of what the database showed, taken or not: a set that this code refuses must not be fetched each second. */
  let seen = 0;
  /** A document of one's own has a version and no sequence: it wins, so there is nothing to ask. */
  const ownDocument = () => intake.state().version !== null && intake.state().sequence === null;

  async function ask(): Promise<void> {
    if (ownDocument()) return;
    const known = Math.max(seen, intake.state().sequence ?? 0);
    if (!(await hasLaterFlags(db, known))) return;
    const live = await db.withTx((tx) => liveFlags(tx, known), { readOnly: true });
    if (closed || !live) return;
    // The answer that was given up may come last: an older set is no news, whoever brings it.
    seen = Math.max(seen, live.sequence);
    intake.offer('database', compileLive(live, FLAGS));
    measured.show(intake);
  }
  function poll(): void {
    if (waiting < QUESTIONS) {
      waiting += 1;
      void ask()
        .then(
          () => {
            answered = true;
            measured.polled('ok');
          },
          // Nothing to say each second: the database's own metrics and alerts speak of it, and the file still arrives.
          () => measured.polled('failed'),
        )
        .finally(() => {
          waiting -= 1;
        });
    }
    const starting = !answered && performance.now() - openedAt < FIRST_ANSWER_MS;
    const pauseMs = Math.min(input.pollMs ?? POLL_MS, starting ? FIRST_POLL_MS : POLL_MS);
    // Jitter: pods that started together would ask together for ever.
    timer = setTimeout(poll, pauseMs * (0.8 + 0.4 * Math.random())).unref();
  }
  poll();
  return {
    current: intake.current,
    state: intake.state,
    onChange: intake.onChange,
    checkNow: () => watching?.checkNow(),
    answered: () => answered || ownDocument(),
    close() {
      closed = true;
      clearTimeout(timer);
      watching?.close();
      void db.close();
    },
  };
}

function tell(log: Logger, event: FlagEvent): void {
  if (event.change === 'loaded') log.info('flags loaded', event);
  else if (event.change === 'recovered') log.info('flags are good again', event);
  else log.warn('flags not taken; the last good ones stay', event);
}

function measure(metrics: Metrics) {
  const sequence = metrics.gauge('klar_flags_sequence', 'Sequence of the flag set in use; 0 before the first.');
  const loadedAt = metrics.gauge('klar_flags_loaded_timestamp_seconds', 'When the flags in use were taken; 0: never.');
  const problem = metrics.gauge('klar_flags_problem', '1 while what lies there is not what is in use.');
  const on = metrics.gauge('klar_flags_switch_on', 'Position of each switch for who is in no target group.', ['flag']);
  const polls = metrics.counter('klar_flags_polls_total', 'Questions to the database for later flags.', ['result']);
  return {
    show(store: Pick<FlagStore, 'state' | 'current'>) {
      const state = store.state();
      for (const [flag, { default: fallback }] of Object.entries(FLAGS)) {
        on.set({ flag }, (store.current()?.flags.get(flag)?.evaluate({}).value ?? fallback) === true ? 1 : 0);
      }
      sequence.set(state.sequence ?? 0);
      loadedAt.set((state.loadedAt?.getTime() ?? 0) / 1_000);
      problem.set(state.problem ? 1 : 0);
    },
    polled: (result: 'ok' | 'failed') => polls.inc({ result }),
  };
}

/** The flags of a serving process: what its code asks, and what it says of them. */
export type ProcessFlags = Flags & {
  /** For `/versionz`. */
  version(): object;
};

/**
 * `openFlags`, asked through `createFlags`; `close` ends both. Resolves when the database has said what it has, or after
 * 2.5 s without it: nothing is served before, so that a restart does not turn on for a moment what somebody turned off.
 */
export async function startFlags(
  input: LiveFlagsInput & { scope: string; firstAnswerMs?: number },
): Promise<ProcessFlags> {
  const store = openFlags(input);
  const until = performance.now() + (input.firstAnswerMs ?? FIRST_ANSWER_MS);
  while (!store.answered() && performance.now() < until) await pause(10);
  const flags = await createFlags(store, input.scope);
  return {
    ...flags,
    version: () => flagsVersion(store),
    close: async () => {
      store.close();
      await flags.close();
    },
  };
}

/** What `/versionz` says of the flags in a process. */
export function flagsVersion(store: FlagStore): object {
  const { version, sequence, source, loadedAt, problem } = store.state();
  return {
    version,
    sequence,
    source,
    since: loadedAt?.toISOString() ?? null,
    problem: problem && { since: problem.since.toISOString(), source: problem.source, text: problem.text },
  };
}
