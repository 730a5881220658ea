/** One row a run: ops.task_runs. Written with login klar_ops; every time in it is the database's. */
import { statement, type Tx } from '#platform/db/index.ts';

export type TaskStatus = 'running' | 'succeeded' | 'failed' | 'missed';

export interface TaskRun {
  id: string;
  task: string;
  /** The tick; null for a run of its own. */
  scheduled_for: Date | null;
  status: TaskStatus;
  by_hand: boolean;
  attempt: number;
  started_at: Date;
  finished_at: Date | null;
  lease_until: Date | null;
  runner: string | null;
  detail: Record<string, unknown>;
  error: string | null;
}

export interface HeldRun extends TaskRun {
  /** Running, and its lease has not run out. */
  alive: boolean;
}

const COLUMNS = `r.id, r.task, r.scheduled_for, r.status, r.by_hand, r.attempt, r.started_at, r.finished_at,
  r.lease_until, r.runner, r.detail, r.error`;
const ALIVE = `(r.status = 'running' and r.lease_until > clock_timestamp()) as alive`;

// FOR UPDATE also waits for transactions that were fenced by this run (ops.holds_task_run): after a takeover none of
// the old runner's effects can still commit.
const lockTick = statement<HeldRun>(
  'operations.lock_tick',
  `select ${COLUMNS}, ${ALIVE} from ops.task_runs r where r.task = $1 and r.scheduled_for = $2 for update`,
);
const schema = statement<{ version: number; enough: boolean }>(
  'operations.schema_version',
  'select v.version, v.version >= $1::int as enough from ops.schema_version() as v(version)',
);
const insertRun = statement<TaskRun>(
  'operations.insert_task_run',
  `insert into ops.task_runs as r (id, task, scheduled_for, status, by_hand, runner, lease_until, schedule)
   values ($1, $2, $3, 'running', $4, $5, clock_timestamp() + $6::int * interval '1 ms', $7)
   on conflict (task, scheduled_for) where scheduled_for is not null do nothing
   returning ${COLUMNS}`,
);
const retakeRun = statement<TaskRun>(
  'operations.retake_task_run',
  `update ops.task_runs as r
      set status = 'running', by_hand = $2, runner = $3, lease_until = clock_timestamp() + $4::int * interval '1 ms',
          attempt = r.attempt + 1, started_at = clock_timestamp(), finished_at = null, error = null, detail = $5,
          schedule = coalesce($6, r.schedule)
    where r.id = $1
   returning ${COLUMNS}`,
);
const abandonRuns = statement<{ id: string }>(
  'operations.abandon_task_runs',
  `update ops.task_runs as r
      set status = 'failed', finished_at = clock_timestamp(), lease_until = null,
          error = 'the process that ran it is gone: its lease ended unrenewed'
    where r.id in (select o.id from ops.task_runs o
                    where o.task = $1 and o.id <> $2 and o.status = 'running'
                      and o.lease_until < clock_timestamp() - $3::int * interval '1 ms'
                    for update skip locked)
   returning r.id`,
);
const readRun = statement<HeldRun>(
  'operations.read_task_run',
  `select ${COLUMNS}, ${ALIVE} from ops.task_runs r where r.id = $1`,
);
const extendLease = statement(
  'operations.extend_task_lease',
  `update ops.task_runs set lease_until = clock_timestamp() + $3::int * interval '1 ms'
    where id = $1 and runner = $2 and status = 'running'`,
);
const holdsRun = statement<{ held: boolean }>('operations.holds_task_run', 'select ops.holds_task_run($1, $2) as held');
const finishRun = statement<TaskRun>(
  'operations.finish_task_run',
  `update ops.task_runs as r
      set status = $3, finished_at = clock_timestamp(), lease_until = null, detail = r.detail || $4::jsonb, error = $5
    where r.id = $1 and r.runner = $2 and r.status = 'running'
   returning ${COLUMNS}`,
);
const ticksOf = statement<{ scheduled_for: Date; status: TaskStatus; schedule: string | null }>(
  'operations.task_ticks',
  `select r.scheduled_for, r.status, r.schedule from ops.task_runs r
    where r.task = $1 and r.scheduled_for > $2 and r.scheduled_for < $3 order by r.scheduled_for`,
);
const newestSettled = statement<{ scheduled_for: Date; schedule: string }>(
  'operations.newest_settled_tick',
  `select r.scheduled_for, r.schedule from ops.task_runs r
    where r.task = $1 and r.scheduled_for < $2 and r.schedule is not null order by r.scheduled_for desc limit 1`,
);
const caughtUpTo = statement<{ done: Date | null; first: Date | null }>(
  'operations.caught_up_to',
  `select max(r.scheduled_for) filter (where r.status = 'succeeded') as done, min(r.scheduled_for) as first
     from ops.task_runs r where r.task = $1 and r.scheduled_for < $2 and r.schedule is not null`,
);
const insertMissed = statement<{ scheduled_for: Date }>(
  'operations.insert_missed_ticks',
  `insert into ops.task_runs as r (id, task, scheduled_for, status, by_hand, attempt, started_at, finished_at, schedule)
   select m.id, $1, m.tick, 'missed', false, 0, now(), now(), $4
     from unnest($2::text[], $3::timestamptz[]) as m(id, tick)
   on conflict (task, scheduled_for) where scheduled_for is not null do nothing
   returning r.scheduled_for`,
);
const listRuns = statement<TaskRun>(
  'operations.list_task_runs',
  `select ${COLUMNS} from ops.task_runs r
    where ($1::text[] is null or r.task = any($1)) and ($2::text[] is null or r.status = any($2))
      and ($3::timestamptz is null or r.started_at >= $3) and ($4::timestamptz is null or r.started_at < $4)
      and ($5::text is null or (r.started_at, r.id) < (select b.started_at, b.id from ops.task_runs b where b.id = $5))
    order by r.started_at desc, r.id desc limit $6`,
);

export type RunId = { id: string; runner: string };

export const lock = (tx: Tx, task: string, tick: Date) => tx.maybe(lockTick, [task, tick]);
/** Who holds a run, and by which schedule it came. */
type Begun = RunId & { byHand: boolean; leaseMs: number; schedule: string | null };
/** Undefined when another process inserted the tick first. */
export const insert = (tx: Tx, run: Begun & { task: string; tick: Date | null }): Promise<TaskRun | undefined> =>
  tx.maybe(insertRun, [run.id, run.task, run.tick, run.byHand, run.runner, run.leaseMs, run.schedule]);
export const retake = (tx: Tx, run: Begun & { detail: object }): Promise<TaskRun> =>
  tx.one(retakeRun, [run.id, run.byHand, run.runner, run.leaseMs, run.detail, run.schedule]);
/** Ends rows of other runs of this task whose process died and that nobody took over. */
export const abandon = async (tx: Tx, task: string, except: string, graceMs: number): Promise<string[]> =>
  (await tx.rows(abandonRuns, [task, except, graceMs])).map(({ id }) => id);
export const read = (tx: Tx, id: string) => tx.maybe(readRun, [id]);
/** False when the run is not this runner's any more. */
export const extend = async (tx: Tx, run: RunId, leaseMs: number): Promise<boolean> =>
  (await tx.run(extendLease, [run.id, run.runner, leaseMs])) === 1;
export const holds = async (tx: Tx, run: RunId): Promise<boolean> =>
  (await tx.one(holdsRun, [run.id, run.runner])).held;
export const finish = (
  tx: Tx,
  run: RunId,
  end: { status: 'succeeded' | 'failed'; detail: object; error: string | null },
): Promise<TaskRun | undefined> => tx.maybe(finishRun, [run.id, run.runner, end.status, end.detail, end.error]);
/** Between both, neither included. */
export const ticks = (tx: Tx, task: string, range: { after: Date; before: Date }) =>
  tx.rows(ticksOf, [task, range.after, range.before]);
/** The newest tick that a run by a schedule, before this one, has settled everything before. */
export const settled = (tx: Tx, task: string, before: Date) => tx.maybe(newestSettled, [task, before]);
/** The newest success by a schedule, and the first run by one. */
export const caughtUp = (tx: Tx, task: string, before: Date) => tx.one(caughtUpTo, [task, before]);
/** The ticks that had no row. */
export const missed = async (tx: Tx, task: string, at: readonly Date[], schedule: string): Promise<Date[]> =>
  (await tx.rows(insertMissed, [task, at.map(() => tx.newId('run')), at, schedule])).map((row) => row.scheduled_for);

export type TaskRunFilter = {
  tasks?: readonly string[] | undefined;
  statuses?: readonly TaskStatus[] | undefined;
  /** Started at or after. */
  since?: Date | undefined;
  /** Started before. */
  until?: Date | undefined;
};

/** Newest first; `before` is the id of the last one of the page before. */
export const list = (tx: Tx, filter: TaskRunFilter, page: { before: string | null; limit: number }) =>
  tx.rows(listRuns, [
    filter.tasks ?? null,
    filter.statuses ?? null,
    filter.since ?? null,
    filter.until ?? null,
    page.before,
    page.limit,
  ]);

/** Which migration the database is at, and whether that is enough. */
export const schemaOf = (tx: Tx, needed: number): Promise<{ version: number; enough: boolean }> =>
  tx.one(schema, [needed]);
