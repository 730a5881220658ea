import { Writable } from 'node:stream';
import { taskOf } from '#domain/operations/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import type { Settings } from '#platform/config/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { runCli } from '../cli/main.ts';
import type { Loop } from '../worker/loop.ts';
import { scheduledTasks, startSchedule } from '../worker/schedule.ts';

/** The CronJobs of the laptop: the very commands, in this process, with their rows, ticks and alerts. */
export function startLocalSchedule(input: {
  settings: Settings;
  env: Record<string, string | undefined>;
  log: Logger;
  metrics: Metrics;
  /** Where the commands' logs go. */
  stream: Writable;
  firstAfterMs?: number;
}): Promise<Loop> {
  const { settings, env, stream } = input;
  const known = settings as unknown as Record<string, unknown>;
  return startSchedule({
    tasks: scheduledTasks((name) => known[name] !== undefined),
    clock: systemClock,
    log: input.log,
    metrics: input.metrics,
    ...(input.firstAfterMs === undefined ? {} : { firstAfterMs: input.firstAfterMs }),
    run: async (task, own, signal) => {
      const stdout = new Writable({ write: (_chunk, _encoding, done) => done() });
      return runCli({
        argv: [...taskOf(task).command.split(' '), '--json'],
        env: { ...env, ...own },
        stdout,
        stderr: stream,
        signal,
      });
    },
  });
}
