import { setTimeout as pause } from 'node:timers/promises';
import type { Job as BossJob, JobResult, PgBoss } from 'pg-boss';
import type { Db } from '#platform/db/index.ts';
import { type Logger, withLogContext } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { withSpan } from '#platform/telemetry/index.ts';
import { bossDatabase } from './boss-database.ts';
import type { AnyQueueDef, QueueDef } from './define.ts';
import { QUEUE_SCHEMA } from './migrate-queues.ts';
import type { Job } from './send.ts';
import { onWake } from './wake.ts';

/**
 * How a handler ended. `retry`: again later, with backoff, as if it had thrown; `dead`: never again, a person looks.
 * `logged`: the handler, which knows what is lost and how bad that is, has written the line about it.
 */
export type JobOutcome = 'done' | { retry: string } | { dead: string; logged?: boolean };

export interface JobContext {
  /** Aborted when the job is no longer ours (taken over, expired) or the process must end now. */
  signal: AbortSignal;
  /** 1 for the first attempt. */
  attempt: number;
  id: string;
}

export type JobHandler<P> = (payload: P, context: JobContext) => Promise<JobOutcome>;

export interface QueueWorker {
  /** Registers a handler, before `start`. @param concurrency jobs at once in this process, default 1 */
  work<P>(queue: QueueDef<P>, handler: JobHandler<P>, options?: { concurrency?: number }): void;
  /** Begins to fetch; waits for the database as long as it takes. */
  start(): Promise<void>;
  /** Fetches no more, waits for running handlers; those still running after `timeoutMs` are aborted and retried. */
  stop(timeoutMs?: number): Promise<void>;
}

export interface QueueWorkerInput {
  /** As `klar_worker`. */
  db: Db;
  log: Logger;
  metrics: Metrics;
  /** How often an idle queue is asked, at least 500. A job sent by the same process does not wait for it. */
  pollMs?: number;
}

/** A worker that died is noticed within the heartbeat and this much. */
const SUPERVISE_S = 5;
const RESTART_MS = 500;
const MIN_POLL_MS = 500;

interface Entry {
  queue: AnyQueueDef;
  handler: JobHandler<never>;
  concurrency: number;
}

/** Runs handlers for queues: at least once each, so a handler makes its effect once by its own key. */
export function createQueueWorker(input: QueueWorkerInput): QueueWorker {
  const { log, metrics } = input;
  const finished = metrics.counter('klar_queue_jobs_total', 'Handled jobs by outcome', ['queue', 'outcome']);
  const seconds = metrics.histogram('klar_queue_job_seconds', 'Duration of a job handler', ['queue']);
  const errors = metrics.counter(
    'klar_queue_errors_total',
    'Errors of the queue itself, e.g. while the database is away',
  );
  const handlers = new Map<string, Entry>();
  const workers = new Map<string, string[]>();
  const stopping = new AbortController();
  let started: Promise<void> | undefined;

  let boss: PgBoss | undefined;

  async function makeBoss(): Promise<PgBoss> {
    const { PgBoss } = await import('pg-boss');
    const made = new PgBoss({
      schema: QUEUE_SCHEMA,
      db: bossDatabase(input.db),
      migrate: false,
      schedule: false,
      supervise: true,
      superviseIntervalSeconds: SUPERVISE_S,
      monitorIntervalSeconds: SUPERVISE_S,
      // klar_worker owns no index and sees no foreign backend.
      reindex: false,
      monitorVacuum: false,
    });
    made.on('error', (error) => {
      errors.inc();
      log.warn('queue error', { error: error.message });
    });
    made.on('warning', (warning) => log.warn('queue warning', { warning: warning.message }));
    return made;
  }

  async function handle(
    entry: { queue: AnyQueueDef; handler: JobHandler<never> },
    job: BossJob<Job> & { retryCount: number },
  ): Promise<JobResult> {
    const { queue, handler } = entry;
    const end = seconds.startTimer({ queue: queue.name });
    const { payload, request_id } = job.data;
    const fields = { queue: queue.name, job_id: job.id, ...(request_id === undefined ? {} : { request_id }) };
    const outcome = await withLogContext(fields, async (): Promise<JobOutcome> => {
      const parsed = queue.schema.safeParse(payload);
      if (!parsed.success) return { dead: `payload: ${parsed.error.message}` };
      try {
        const call = { signal: job.signal as AbortSignal, attempt: job.retryCount + 1, id: job.id };
        return await withSpan(queue.name, { 'messaging.system': 'pg-boss' }, () => handler(parsed.data as never, call));
      } catch (error) {
        log.warn('job failed', { attempt: job.retryCount + 1, error });
        return { retry: error instanceof Error ? error.message : String(error) };
      }
    });
    end();
    if (outcome === 'done') {
      finished.inc({ queue: queue.name, outcome: 'done' });
      return { id: job.id, status: 'completed' };
    }
    const kind = 'dead' in outcome ? 'dead' : 'retry';
    finished.inc({ queue: queue.name, outcome: kind });
    const reason = 'dead' in outcome ? outcome.dead : outcome.retry;
    if ('dead' in outcome && outcome.logged !== true) log.error('job is dead', { ...fields, reason });
    return { id: job.id, status: kind === 'dead' ? 'deadletter' : 'failed', output: { reason } };
  }

  /** One loop that fetches and handles one job at a time; `concurrency` is how many of them a queue has. */
  async function fetchFor(started: PgBoss, entry: Entry): Promise<void> {
    const { name } = entry.queue;
    const options = {
      perJobResults: true as const,
      includeMetadata: true as const,
      pollingIntervalSeconds: Math.max(MIN_POLL_MS, input.pollMs ?? MIN_POLL_MS) / 1_000,
      batchSize: 1,
    };
    let id = '';
    id = await started.work<Job, object, typeof options>(name, options, async (jobs) => {
      const results = await Promise.all(jobs.map((job) => handle(entry, job as never)));
      // Where one job was there may be more: without this a backlog is worked off at one job per poll.
      started.notifyWorker(id);
      return results;
    });
    workers.set(name, [...(workers.get(name) ?? []), id]);
  }

  async function begin(): Promise<void> {
    boss = await makeBoss();
    for (;;) {
      try {
        await boss.start();
        for (const entry of handlers.values()) {
          for (let n = 0; n < entry.concurrency; n += 1) await fetchFor(boss, entry);
        }
        return;
      } catch (error) {
        if (stopping.signal.aborted) return;
        errors.inc();
        log.warn('queue cannot start yet', { error: (error as Error).message });
        workers.clear();
        await boss.stop({ graceful: false, close: false }).catch(() => {});
        await pause(RESTART_MS, undefined, { signal: stopping.signal }).catch(() => {});
        if (stopping.signal.aborted) return;
      }
    }
  }

  const unlisten = onWake((queue) => {
    const ids = workers.get(queue);
    for (const id of ids ?? []) boss?.notifyWorker(id);
  });

  return {
    work(queue, handler, options = {}) {
      if (started !== undefined) throw new Error('register handlers before start');
      handlers.set(queue.name, { queue, handler: handler as JobHandler<never>, concurrency: options.concurrency ?? 1 });
    },
    start() {
      started ??= begin();
      return started;
    },
    async stop(timeoutMs = 15_000) {
      stopping.abort();
      unlisten();
      await started;
      await boss?.stop({ graceful: true, close: false, timeout: timeoutMs });
    },
  };
}
