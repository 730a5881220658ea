import { readSchedule, type Schedule, TASKS, type TaskName, taskOf, ticksBetween } from '#domain/operations/index.ts';
import type { Clock } from '#platform/clock/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { type Loop, startLoop } from './loop.ts';

export type ScheduleInput = {
  /** The tasks whose command exists here; settings decide which of them. */
  tasks: readonly TaskName[];
  /** Runs `klar <command>` for one tick, as the Job of a CronJob would: with its name in KLAR_JOB_NAME. */
  run: (task: TaskName, env: Record<string, string>, signal: AbortSignal) => Promise<number>;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  everyMs?: number;
  /** How long after the start the first look comes: a start has better things to do. */
  firstAfterMs?: number;
};

const EVERY_MS = 20_000;
const FIRST_AFTER_MS = 60_000;
/** A laptop sleeps at night: what it slept through is done when it wakes, once, if it is no older than this. */
const LOOK_BACK_MS = 26 * 60 * 60_000;

/** The tasks that a schedule may run with these settings. */
export function scheduledTasks(has: (setting: string) => boolean): TaskName[] {
  return (Object.keys(TASKS) as TaskName[]).filter((name) => {
    const task = taskOf(name);
    return task.planned !== true && (task.needs ?? []).every(has);
  });
}

/**
 * What CronJobs do in a cluster, for the one process of a laptop: each task at its newest tick, one after the other.
 * The unique row of the tick is the same, so a restart repeats nothing. In a cluster nothing starts this.
 */
export async function startSchedule(input: ScheduleInput): Promise<Loop> {
  const schedules = new Map<TaskName, Schedule>();
  for (const name of input.tasks) schedules.set(name, await readSchedule(taskOf(name).schedule));
  const begun = new Map<TaskName, number>();
  const firstAt = performance.now() + (input.firstAfterMs ?? FIRST_AFTER_MS);
  return startLoop({
    name: 'schedule',
    everyMs: input.everyMs ?? EVERY_MS,
    run: async (signal) => {
      if (performance.now() < firstAt) return 'idle';
      for (const [name, schedule] of schedules) {
        const now = input.clock.now();
        const range = { after: new Date(now.getTime() - LOOK_BACK_MS), before: new Date(now.getTime() + 1) };
        const [tick] = ticksBetween(schedule, range, 1);
        if (tick === undefined || begun.get(name) === tick.getTime() || signal.aborted) continue;
        // Noted before it runs: a tick that fails is for a person to look at, not for a try every 20 s.
        begun.set(name, tick.getTime());
        const env = {
          KLAR_JOB_NAME: `local-${name}-${tick.getTime() / 60_000}`,
          KLAR_TASK_SCHEDULE: taskOf(name).schedule,
          KLAR_TASK_TIME_ZONE: schedule.timeZone,
        };
        const code = await input.run(name, env, signal);
        input.log[code === 0 ? 'info' : 'error']('scheduled task ended', { task: name, tick, exit_code: code });
      }
      return 'idle';
    },
    log: input.log,
    metrics: input.metrics,
  });
}
