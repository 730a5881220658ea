import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { until } from '../support/until.ts';
import {
  apply,
  clusterSettings,
  createJobFrom,
  type Installation,
  installation,
  jobEnd,
  kubectl,
  kubectlJson,
  portForward,
  psql,
  readyPod,
  sql,
  tryKubectl,
} from './support/index.ts';

interface Run {
  id: string;
  scheduled_for: string | null;
  status: string;
  by_hand: boolean;
  attempt: number;
  error: string | null;
}
interface Job {
  metadata: {
    name: string;
    creationTimestamp: string;
    annotations?: Record<string, string>;
    labels?: Record<string, string>;
  };
  spec: {
    activeDeadlineSeconds: number;
    template: { spec: { containers: { args: string[] }[] } };
  };
  status: { conditions?: { type: string; status: string; reason?: string }[] };
}
interface CronJob {
  metadata: { name: string; labels: Record<string, string> };
  spec: { schedule: string; timeZone: string; suspend: boolean };
}

/** What a run leaves behind besides its row; a task without an entry has nothing that could be counted. */
const EFFECTS: Record<string, string> = { backup: 'ops.backups', 'restore-verify': 'ops.restore_proofs' };
/** Seconds until Kubernetes ends a wedged Job: enough to start a pod on a busy machine. */
const DEADLINE_S = 30;
/** Beyond which a run of a minute's schedule is stale, as the alert counts it. */
const STALE_S = 75;
/** Ticks of before, so that the schedule of every minute has something to miss. */
const MINUTES_AGO = 5;
/** For a Job with all of its tries, where the rest of a cluster runs on the same two cores. */
const JOB_MS = 420_000;
const PATIENCE = { timeoutMs: 120_000, everyMs: 500 };

const minuteOf = (at: number) => Math.floor(at / 60_000);
const tickOf = (minute: number) => new Date(minute * 60_000);

const runsOf = (task: string, where = 'true') =>
  sql<Run>(
    `select id, scheduled_for, status, by_hand, attempt, error from ops.task_runs
      where task = '${task}' and (${where}) order by started_at`,
  );

async function effectsOf(task: string): Promise<number> {
  const table = EFFECTS[task];
  if (table === undefined) return 0;
  return (await sql<{ n: number }>(`select count(*)::int as n from ${table}`))[0]?.n ?? 0;
}

/** A Job as the CronJob makes it, changed before it is made. */
async function createJob(cronJob: string, name: string, change: (job: Job) => void): Promise<void> {
  const job = await kubectlJson<Job>(['create', 'job', name, `--from=cronjob/${cronJob}`, '--dry-run=client']);
  change(job);
  await apply(JSON.stringify(job));
}

/** Locks a table in a transaction of its own until it is told to let go. */
async function hold(table: string, mode: 'access exclusive' | 'exclusive'): Promise<() => Promise<void>> {
  const { namespace } = clusterSettings();
  const pod = await readyPod('postgresql');
  const marked = 'klar test wedge';
  const child = spawn('kubectl', [
    ...['-n', namespace, 'exec', pod.metadata.name, '--', 'sh', '-c'],
    `PGAPPNAME='${marked}' PGPASSWORD=$(cat /run/secrets/postgresql/password) exec "$@"`,
    ...['sh', 'psql', '-h', '127.0.0.1', '-U', 'postgres', '-d', 'klar', '-c'],
    `begin; lock table ${table} in ${mode} mode; select pg_sleep(300)`,
  ]);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await until(
    async () =>
      (
        await sql(
          `select from pg_locks l join pg_stat_activity a using (pid)
            where a.application_name = '${marked}' and l.granted and l.mode in ('AccessExclusiveLock', 'ExclusiveLock')
              and l.relation = '${table}'::regclass`,
        )
      ).length > 0,
    PATIENCE,
  );
  return async () => {
    await sql(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = '${marked}'`);
    await ended;
  };
}

describe('CronJobs', () => {
  let klar: Installation;
  let cronJobs: Map<string, CronJob>;
  let metrics: { port: number; close(): void };
  /** Names apart from those of an earlier run against the same installation. */
  const mark = Date.now().toString(36);

  const cronJobOf = (task: string) => cronJobs.get(task)?.metadata.name ?? assert.fail(`no CronJob for ${task}`);
  /** A gauge of the worker, which is there while no pod of a task is; undefined without the series. */
  const gauge = async (name: string, ...labels: string[]): Promise<number | undefined> => {
    const text = await (await fetch(`http://127.0.0.1:${metrics.port}/metrics`)).text();
    const line = text
      .split('\n')
      .find((one) => one.startsWith(`${name}{`) && labels.every((label) => one.includes(label)));
    return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1));
  };
  const age = async (task: string) => {
    const at = await gauge('klar_operations_task_last_success_timestamp_seconds', `task="${task}"`);
    return at === undefined ? Number.POSITIVE_INFINITY : Date.now() / 1_000 - at;
  };

  before(async () => {
    klar = await installation();
    const { items } = await kubectlJson<{ items: CronJob[] }>([
      ...['get', 'cronjobs', '-l', `app.kubernetes.io/instance=${klar.release}`],
    ]);
    cronJobs = new Map(
      items
        .map((item) => [item.metadata.labels['klar.dev/task'] ?? '', item] as const)
        // The toolbox and the guided restore are templates for a hand; they never run by themselves.
        .filter(([, item]) => !item.spec.suspend),
    );
    metrics = await portForward(`pod/${(await readyPod('worker')).metadata.name}`, 9090);
  });
  after(async () => {
    metrics?.close();
    await tryKubectl(['delete', 'jobs', '-l', 'app.kubernetes.io/component=task,klar.dev/task!=backup-volume']);
  });

  /** Two Jobs of one tick at once, one by hand beside them, and after all of that the tick once more by its time. */
  async function twiceAndByHand(task: string): Promise<void> {
    const cronJob = cronJobOf(task);
    const minute = minuteOf(Date.now()) - MINUTES_AGO;
    const tick = tickOf(minute).toISOString();
    const before = await effectsOf(task);
    const since = (await sql<{ now: string }>('select clock_timestamp() as now'))[0]?.now;
    const names = [`${cronJob}-${minute}`, `${cronJob}-${mark}-${minute}`, `${cronJob}-${mark}-hand`];
    await tryKubectl(['delete', 'job', ...names, '--ignore-not-found']);
    await Promise.all(names.map((name) => createJobFrom(cronJob, name)));
    for (const name of names) assert.equal(await jobEnd(name, JOB_MS), 'complete', name);
    const again = `${cronJob}-${mark}-again`;
    await createJob(cronJob, again, (job) => job.spec.template.spec.containers[0]?.args.push('--for', tick));
    assert.equal(await jobEnd(again, JOB_MS), 'complete');
    assert.match(await kubectl(['logs', `job/${again}`]), /was already done: run_\w+\. Nothing to do\./);

    const runs = await runsOf(task, `scheduled_for = '${tick}'`);
    assert.deepEqual(
      runs.map((run) => run.status),
      ['succeeded'],
      'one row for the tick',
    );
    // A try that a busy machine made fail has a row of its own, as no tick holds them together.
    const byHand = await runsOf(task, `scheduled_for is null and started_at > '${since}' and status = 'succeeded'`);
    assert.deepEqual(
      byHand.map((run) => run.by_hand),
      [true],
      'a run by hand is a run of its own',
    );
    if (EFFECTS[task] !== undefined) assert.equal((await effectsOf(task)) - before, 2, 'the tick and the hand');
    await until(async () => (await age(task)) < STALE_S, { ...PATIENCE, what: `the success of ${task} in a scrape` });
  }

  // In this order: a restore needs a backup.
  for (const group of [
    ['backup', 'cleanup'],
    ['restore-verify', 'backup-prune'],
  ]) {
    it(`${group.join(' and ')}: run twice for one tick have one effect, by hand one more`, async function () {
      this.timeout(2 * JOB_MS);
      const ends = await Promise.allSettled(group.map(twiceAndByHand));
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    });
  }

  it('are all known to this test', () => {
    assert.deepEqual([...cronJobs.keys()].sort(), ['backup', 'backup-prune', 'cleanup', 'restore-verify']);
  });

  it('run by their schedule; suspended they do not, and only the metric tells', async function () {
    this.timeout(JOB_MS);
    const running = 'cleanup';
    const since = Date.now();
    // The pod knows its schedule too, to see which ticks were missed; an upgrade changes both.
    const patch = (task: string, { schedule, suspend }: Omit<CronJob['spec'], 'timeZone'>) => {
      const env = [{ name: 'KLAR_TASK_SCHEDULE', value: schedule }];
      const template = { spec: { containers: [{ name: 'klar', env }] } };
      const spec = { schedule, suspend, jobTemplate: { spec: { template } } };
      return kubectl(['patch', 'cronjob', cronJobOf(task), '-p', JSON.stringify({ spec })]);
    };
    const scheduled = async () => {
      const { items } = await kubectlJson<{ items: Job[] }>(['get', 'jobs', '-l', 'app.kubernetes.io/component=task']);
      return items.filter(
        (job) =>
          job.metadata.annotations?.['cronjob.kubernetes.io/instantiate'] !== 'manual' &&
          job.metadata.annotations?.['batch.kubernetes.io/cronjob-scheduled-timestamp'] !== undefined &&
          Date.parse(job.metadata.creationTimestamp) >= since - 1_000,
      );
    };
    // A changed schedule has missed nothing: as if it had been this one for some minutes already.
    const zone = cronJobs.get(running)?.spec.timeZone;
    await psql(
      `insert into ops.task_runs (id, task, scheduled_for, status, by_hand, finished_at, schedule)
        values ('run_of_before', '${running}', '${tickOf(minuteOf(since) - 4).toISOString()}', 'succeeded', false, now(), '* * * * * ${zone}')
        on conflict (task, scheduled_for) where scheduled_for is not null
        do update set status = excluded.status, lease_until = null, finished_at = now(), schedule = excluded.schedule`,
    );
    try {
      await Promise.all(
        [...cronJobs.keys()].map((task) => patch(task, { schedule: '* * * * *', suspend: task !== running })),
      );
      const job = await until(async () => (await scheduled())[0], {
        timeoutMs: 100_000,
        everyMs: 1_000,
        what: 'a Job by the schedule',
      });
      assert.equal(await jobEnd(job.metadata.name), 'complete');
      const minute = Number(/-(\d+)$/.exec(job.metadata.name)?.[1]);
      const tick = tickOf(minute).toISOString();
      const [run] = await runsOf(running, `scheduled_for = '${tick}'`);
      assert.deepEqual([run?.status, run?.by_hand], ['succeeded', false], 'the tick is the minute in the name');
      // Its policy is to skip: what was due since the last run and nobody ran is recorded, not made up for.
      // A run that could not find out leaves it to the next.
      const before = `status = 'missed' and scheduled_for between '${tickOf(minute - 2).toISOString()}' and '${tick}'`;
      await until(async () => (await runsOf(running, before)).length > 0, {
        timeoutMs: 150_000,
        everyMs: 1_000,
        what: 'the minutes before, at which nothing ran, as missed',
      });

      for (const one of await scheduled())
        assert.equal(one.metadata.labels?.['klar.dev/task'], running, `${one.metadata.name} although suspended`);
      await until(
        async () => {
          const ages = new Map<string, number>();
          for (const task of cronJobs.keys()) ages.set(task, await age(task));
          const stale = [...ages].filter(([, seconds]) => seconds > STALE_S).map(([task]) => task);
          const suspended = [...cronJobs.keys()].filter((task) => task !== running);
          if (suspended.every((task) => stale.includes(task)) && !stale.includes(running)) return true;
          throw new Error(JSON.stringify([...ages]));
        },
        { timeoutMs: 90_000, everyMs: 1_000, what: 'stale but for the one that runs' },
      );
    } finally {
      for (const [task, { spec }] of cronJobs) await patch(task, spec);
    }
  });

  /** A Job of a tick that Kubernetes ends after `DEADLINE_S`. */
  const wedge = async (task: string, minute: number) => {
    const name = `${cronJobOf(task)}-${mark}-wedged-${minute}`;
    await createJob(cronJobOf(task), name, (job) => {
      job.spec.activeDeadlineSeconds = DEADLINE_S;
    });
    return name;
  };
  const endedByDeadline = async (job: string) => {
    assert.equal(await jobEnd(job), 'failed');
    const { status } = await kubectlJson<Job>(['get', 'job', job]);
    assert.equal(status.conditions?.find(({ type }) => type === 'Failed')?.reason, 'DeadlineExceeded', job);
  };
  /** The same tick by another Job, once nothing is in its way. */
  const thenDone = async (task: string, minute: number) => {
    const name = `${cronJobOf(task)}-${mark}-then-${minute}`;
    await createJobFrom(cronJobOf(task), name);
    assert.equal(await jobEnd(name, JOB_MS), 'complete');
    const rows = await runsOf(task, `scheduled_for = '${tickOf(minute).toISOString()}'`);
    assert.deepEqual(
      rows.map((run) => run.status),
      ['succeeded'],
      'one row, and it is good',
    );
    await until(async () => (await age(task)) < STALE_S, { ...PATIENCE, what: `the success of ${task} in a scrape` });
    return rows[0];
  };

  it('wedged in the middle past its deadline: ended and told, and the same tick is done once later', async function () {
    this.timeout(2 * JOB_MS);
    const task = 'backup';
    const minute = minuteOf(Date.now()) - 1;
    const before = await effectsOf(task);
    const letGo = await hold('app.orders', 'access exclusive');
    try {
      const job = await wedge(task, minute);
      await until(async () => ((await gauge('klar_operations_task_running_seconds', `task="${task}"`)) ?? 0) > 5, {
        ...PATIENCE,
        what: 'how long it has been running, in a scrape',
      });
      await endedByDeadline(job);
      // On SIGTERM the run gives its row back; one that could not is found out by its lease.
      const failed = `scheduled_for = '${tickOf(minute).toISOString()}' and status = 'failed'`;
      const run = await until(async () => (await runsOf(task, failed))[0], { ...PATIENCE, what: 'the failed row' });
      assert.ok(run.error);
      await until(
        async () => (await gauge('klar_operations_task_last_end_status', `task="${task}"`, 'status="failed"')) === 1,
        { ...PATIENCE, what: 'the failure in a scrape' },
      );
      assert.equal(await effectsOf(task), before, 'nothing that looks like an effect');
    } finally {
      await letGo();
    }
    const run = await thenDone(task, minute);
    assert.ok((run?.attempt ?? 0) >= 2);
    assert.equal(await effectsOf(task), before + 1);
  });

  it('wedged before they could begin: ended without a row, only the age tells, and the tick is done later', async function () {
    this.timeout(2 * JOB_MS);
    const tasks = [...cronJobs.keys()].filter((task) => task !== 'backup');
    // One that the schedule of every minute had nothing to do with.
    const minute = await until(
      async () => {
        const now = minuteOf(Date.now());
        const taken = await sql(`select from ops.task_runs where scheduled_for = '${tickOf(now).toISOString()}'`);
        return taken.length === 0 ? now : undefined;
      },
      { ...PATIENCE, what: 'a minute of its own' },
    );
    // Reading goes on, so the worker's metrics do; nobody can claim a tick.
    const letGo = await hold('ops.task_runs', 'exclusive');
    try {
      const ages = new Map(await Promise.all(tasks.map(async (task) => [task, await age(task)] as const)));
      const jobs = await Promise.all(tasks.map((task) => wedge(task, minute)));
      await Promise.all(jobs.map(endedByDeadline));
      for (const task of tasks) {
        assert.deepEqual(await runsOf(task, `scheduled_for = '${tickOf(minute).toISOString()}'`), []);
        assert.ok((await age(task)) >= (ages.get(task) ?? 0) + DEADLINE_S - 10, `${task} looks younger than it is`);
      }
    } finally {
      await letGo();
    }
    await Promise.all(tasks.map((task) => thenDone(task, minute)));
  });
});
