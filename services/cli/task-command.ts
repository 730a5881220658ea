import {
  alertFailure,
  parseTick,
  runTask,
  type TaskContext,
  type TaskEnd,
  type TaskName,
  type TaskTiming,
  tickOfJob,
} from '#domain/operations/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import type { Settings } from '#platform/config/index.ts';
import { createDb } from '#platform/db/index.ts';
import { createRedactor } from '#platform/log/index.ts';
import { type Command, type CommandInput, EXIT, type OptionSpec } from './command.ts';
import { databaseUrl } from './commands/database-url.ts';

/** What the work of a task hands back. */
export type TaskAnswer = {
  /** Kept in the run's row, and the answer under --json beside the run's own fields. At most 60 kB, no secrets. */
  detail: Record<string, unknown>;
  /** What a person sees. */
  text: string | string[];
};

export type TaskCommand = {
  task: TaskName;
  options?: Record<string, OptionSpec>;
  arguments?: Command['arguments'];
  notes?: string;
  /** True for a call that only looks (`--dry-run`): it leaves no row and has no tick. */
  unrecorded?: (input: CommandInput) => boolean;
  /** Refuses a wrong call before anything is recorded: a typing error must not look like a failed task. */
  check?: (input: CommandInput) => void;
  /**
   * The work, once a tick. It stops soon after `context.signal` aborts. What it throws ends the run as failed, is
   * stored without secrets and makes the exit code 1.
   */
  work(input: TaskCommandInput, context: TaskContext): Promise<TaskAnswer>;
  /** Shorter times, for tests. */
  timing?: Partial<TaskTiming>;
};

export type TaskCommandInput = Omit<CommandInput, 'settings' | 'answer'> & { settings: Settings };

const NOTES =
  'Recorded in ops.task_runs (DATABASE_URL_OPS or DATABASE_URL): `klar tasks list` shows it. The tick is taken from\n' +
  'KLAR_JOB_NAME in a CronJob; --for names it by hand; without either the run is one of its own.\n' +
  'A tick has its effect once: run again, the command says so and exits with 0. A failed tick may run again.\n' +
  'Exit 75: the migrations of this release are not through yet; nothing was done, try again.';

/** Makes a command of `klar` out of a task: `--for`, the tick of a CronJob's pod, the run's row, the alert, `--json`. */
export function taskCommand(task: TaskCommand): Command {
  return {
    options: {
      ...task.options,
      for: {
        type: 'string',
        value: 'time',
        description: 'Run the tick of this time, e.g. 2026-05-01T02:30Z; once a tick, as the schedule does',
      },
    },
    ...(task.arguments === undefined ? {} : { arguments: task.arguments }),
    notes: task.notes === undefined ? NOTES : `${task.notes}\n${NOTES}`,
    async run(input) {
      task.check?.(input);
      const settings = input.settings();
      // Logs of unattended work are read afterwards, so they say what was done and not only what went wrong.
      const log = input.log({ level: settings.LOG_LEVEL, redact: settings.meta.secretValues });
      const commandInput: TaskCommandInput = { ...input, settings, log: () => log };
      if (task.unrecorded?.(input) === true) return withoutRow(task, input, commandInput);
      const now = systemClock.now();
      const job = settings.KLAR_JOB_NAME;
      const given = input.options.for === undefined ? undefined : parseTick(String(input.options.for), now);
      const tick = given ?? (job === undefined ? undefined : tickOfJob(job, now)) ?? null;
      const schedule = settings.KLAR_TASK_SCHEDULE;
      const alertUrl = settings.MONITOR_ALERT_WEBHOOK_URL;
      const db = createDb({
        url: databaseUrl(settings, ['DATABASE_URL_OPS', 'DATABASE_URL']),
        role: 'klar_ops',
        poolSize: 2,
        prepared: settings.DB_PREPARED === 'on',
        appName: `klar ${task.task}`,
        log,
      });
      let text: string | string[] = [];
      try {
        const end = await runTask(
          {
            db,
            log,
            clock: systemClock,
            task: task.task,
            tick,
            byHand: job === undefined || tick === null,
            signal: input.signal,
            schedule: schedule === undefined ? undefined : { cron: schedule, timeZone: settings.KLAR_TASK_TIME_ZONE },
            redact: createRedactor(settings.meta.secretValues),
            ...(alertUrl === undefined ? {} : { onFailure: (run) => alertFailure(alertUrl.current(), run) }),
            ...(task.timing === undefined ? {} : { timing: task.timing }),
          },
          async (context) => {
            const answer = await task.work(commandInput, context);
            text = answer.text;
            return answer.detail;
          },
        );
        input.answer(answerOf(end), told(end, text));
        return EXIT.ok;
      } catch (error) {
        const { code } = error as { code?: unknown };
        throw code === 'schema_too_old' ? Object.assign(error as Error, { exitCode: EXIT.later }) : error;
      } finally {
        await db.close();
        await log.flush();
      }
    },
  };
}

async function withoutRow(task: TaskCommand, input: CommandInput, own: TaskCommandInput): Promise<number> {
  const context: TaskContext = { runId: '', tick: null, signal: input.signal, fenced: async () => {} };
  const { detail, text } = await task.work(own, context);
  input.answer(detail, text);
  return EXIT.ok;
}

function answerOf({ outcome, run, missed, caughtUp }: TaskEnd): Record<string, unknown> {
  return {
    task: run.task,
    run_id: run.id,
    scheduled_for: run.scheduled_for,
    status: run.status,
    outcome,
    attempt: run.attempt,
    missed,
    caught_up: caughtUp,
    detail: run.detail,
  };
}

function told({ outcome, run, missed, caughtUp }: TaskEnd, text: string | string[]): string[] {
  const tick = run.scheduled_for?.toISOString();
  const before = [
    ...(missed.length > 0 ? [`${missed.length} earlier ticks were missed; they are recorded.`] : []),
    ...(caughtUp.length > 0 ? [`${caughtUp.length} earlier ticks were caught up.`] : []),
  ];
  if (outcome === 'already') return [...before, `${run.task} for ${tick} was already done: ${run.id}. Nothing to do.`];
  if (outcome === 'elsewhere') return [...before, `${run.task} for ${tick} was done by another process: ${run.id}.`];
  return [...before, ...[text].flat(), `${run.id}  ${run.task}${tick === undefined ? '' : ` for ${tick}`}  succeeded`];
}
