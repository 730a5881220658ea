import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { parse, parseAllDocuments } from 'yaml';
import { readSchedule, TASK_NAMES, TASKS, taskOf, ticksBetween } from '#domain/operations/index.ts';
import { COMMANDS } from '../../services/cli/commands.ts';
import { SPEC } from '../../services/platform/config/spec.ts';

const CHART = path.resolve(import.meta.dirname, '../../charts/klar');
const execute = promisify(execFile);

interface Fact {
  command: string[];
  secrets: string[];
  secretKeys?: Record<string, string>;
}
interface TaskValues {
  enabled: boolean;
  schedule: string;
  every: string;
  activeDeadlineSeconds: number;
}
interface Container {
  args: string[];
  env: { name: string; value?: string; valueFrom?: { fieldRef: { fieldPath: string } } }[];
  resources: { requests: object; limits: object };
}
interface CronJob {
  kind: string;
  metadata: { name: string; labels: Record<string, string> };
  spec: {
    schedule: string;
    timeZone: string;
    suspend: boolean;
    concurrencyPolicy: string;
    startingDeadlineSeconds: number;
    successfulJobsHistoryLimit: number;
    failedJobsHistoryLimit: number;
    jobTemplate: {
      spec: {
        activeDeadlineSeconds: number;
        backoffLimit: number;
        podFailurePolicy: { rules: object[] };
        template: {
          spec: {
            restartPolicy: string;
            automountServiceAccountToken: boolean;
            containers: Container[];
            volumes: {
              name: string;
              projected?: { sources: { secret: { items: { key: string; path: string }[] } }[] };
              emptyDir?: { sizeLimit?: string };
            }[];
          };
        };
      };
    };
  };
}

const facts = parse(readFileSync(path.join(CHART, 'tasks.yaml'), 'utf8')) as Record<string, Fact>;
const values = parse(readFileSync(path.join(CHART, 'values.yaml'), 'utf8')) as { cronjobs: Record<string, TaskValues> };

/** CronJobs of the chart by task; the places for klar by hand are no tasks. */
async function render(chart: string, more: readonly string[] = []): Promise<Map<string, CronJob>> {
  const set = ['mode=demo', 'image.repository=localhost/klar', 'postgresql.enabled=true', ...more];
  const { stdout } = await execute('helm', ['template', 'klar', chart, ...set.flatMap((one) => ['--set', one])], {
    maxBuffer: 1 << 26,
  });
  const objects = parseAllDocuments(stdout).map((document) => document.toJS() as CronJob | null);
  return new Map(
    objects
      .filter((object) => object?.kind === 'CronJob')
      .map((object) => [object?.metadata.labels['klar.dev/task'] ?? '', object as CronJob] as const)
      .filter(([task]) => !['toolbox', 'restore'].includes(task)),
  );
}

const pod = (job: CronJob) => job.spec.jobTemplate.spec.template.spec;
const keysOf = (job: CronJob) =>
  (pod(job).volumes.find((volume) => volume.name === 'secrets')?.projected?.sources ?? [])
    .flatMap((source) => source.secret.items)
    .filter((item) => item.path.endsWith('/current'));

describe('CronJobs of the chart', () => {
  let here: Map<string, CronJob>;
  let all: Map<string, CronJob>;
  before(async function () {
    this.timeout(60_000);
    here = await render(CHART);
    // The same chart beside a klar that has every command.
    const folder = await mkdtemp(path.join(tmpdir(), 'klar-chart-'));
    cpSync(CHART, folder, { recursive: true });
    const every = Object.values(facts).map((fact) => fact.command.join(' '));
    writeFileSync(path.join(folder, 'commands.generated.json'), JSON.stringify(every));
    all = await render(folder);
    await rm(folder, { recursive: true, force: true });
  });

  it('are those of the task table whose command exists, no others', () => {
    const commands = new Set(COMMANDS.map(({ name }) => name));
    const existing = TASK_NAMES.filter((task) => commands.has(taskOf(task).command));
    assert.deepEqual([...here.keys()].sort(), [...existing].sort());
    for (const task of TASK_NAMES)
      assert.equal(taskOf(task).planned === true, !commands.has(taskOf(task).command), `${task} is marked wrongly`);
  });

  it('have a slot for each later task, which appears with its command', () => {
    assert.deepEqual(Object.keys(facts).sort(), [...TASK_NAMES].sort());
    assert.deepEqual([...all.keys()].sort(), [...TASK_NAMES].sort());
  });

  it('run the commands and keep the times of the task table', async () => {
    for (const task of TASK_NAMES) {
      const { command, schedule, deadlineS } = TASKS[task];
      const own = values.cronjobs[task];
      assert.equal(facts[task]?.command.join(' '), command, task);
      assert.equal(own?.schedule, schedule, task);
      assert.equal(own?.activeDeadlineSeconds, deadlineS + 60, `${task}: a minute more than the task gives itself`);
      // What the alerts call a period is the longest time between two ticks.
      const ticks = ticksBetween(
        await readSchedule(schedule),
        { after: new Date('2026-01-01T00:00Z'), before: new Date('2026-04-05T00:00Z') },
        100_000,
      );
      const gaps = ticks.slice(1).map((tick, index) => (tick.getTime() - (ticks[index]?.getTime() ?? 0)) / 60_000);
      const [, count = '', unit = ''] = /^(\d+)([mhd])$/.exec(own?.every ?? '') ?? [];
      const minutes = Number(count) * ({ m: 1, h: 60, d: 1_440 }[unit] ?? Number.NaN);
      assert.equal(minutes, Math.max(...gaps), `cronjobs.${task}.every`);
    }
  });

  it('keep the rules of unattended work', () => {
    for (const [task, { spec }] of all) {
      const job = spec.jobTemplate.spec;
      const { restartPolicy, automountServiceAccountToken, containers, volumes } = job.template.spec;
      assert.equal(spec.concurrencyPolicy, 'Forbid', task);
      assert.equal(spec.timeZone, 'Etc/UTC');
      assert.equal(spec.suspend, false);
      assert.ok(spec.startingDeadlineSeconds >= 600 && job.activeDeadlineSeconds > 0 && job.backoffLimit >= 1, task);
      assert.ok(spec.successfulJobsHistoryLimit > 0 && spec.failedJobsHistoryLimit > 0, task);
      assert.deepEqual(job.podFailurePolicy.rules, [
        { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        // Not begun, as the migrations are not through: costs no try.
        { action: 'Ignore', onExitCodes: { containerName: 'klar', operator: 'In', values: [75] } },
        { action: 'FailJob', onExitCodes: { containerName: 'klar', operator: 'In', values: [64, 78] } },
      ]);
      assert.equal(restartPolicy, 'Never', 'a policy for failed pods needs it');
      assert.equal(automountServiceAccountToken, false);
      const [container] = containers;
      assert.ok(container !== undefined);
      assert.deepEqual(Object.keys(container.resources).sort(), ['limits', 'requests'], task);
      const env = new Map(container.env.map((one) => [one.name, one]));
      assert.equal(
        env.get('KLAR_JOB_NAME')?.valueFrom?.fieldRef.fieldPath,
        "metadata.labels['batch.kubernetes.io/job-name']",
      );
      assert.equal(env.get('KLAR_TASK_SCHEDULE')?.value, spec.schedule);
      assert.equal(env.get('KLAR_TASK_TIME_ZONE')?.value, spec.timeZone);
      for (const volume of volumes) if (volume.emptyDir) assert.ok(volume.emptyDir.sizeLimit, `${task} ${volume.name}`);
    }
  });

  it('get the secrets of their command and no others', () => {
    for (const [task, job] of all) {
      const wanted = [...(facts[task]?.secrets ?? []), 'MONITOR_ALERT_WEBHOOK_URL', 'SENTRY_DSN'];
      assert.deepEqual(
        keysOf(job)
          .map(({ path: at }) => at.replace('/current', ''))
          .sort(),
        wanted.sort(),
        task,
      );
      for (const name of wanted) {
        const row = SPEC[name as keyof typeof SPEC] as { secret: boolean; processes?: readonly string[] } | undefined;
        assert.ok(row?.secret && (row.processes?.includes('cli') ?? true), `${task}: klar may not hold ${name}`);
      }
      assert.ok(wanted.includes('DATABASE_URL_OPS'), `${task} could not record its run`);
    }
  });

  it('prune under another identity than the one that writes', () => {
    const storeKeys = (task: string) =>
      keysOf(all.get(task) as CronJob)
        .filter(({ path: at }) => at.startsWith('AWS_'))
        .map(({ key }) => key);
    assert.equal(storeKeys('backup-prune').length, 3);
    assert.deepEqual(
      storeKeys('backup-prune').filter((key) => storeKeys('backup').includes(key)),
      [],
    );
  });

  it('take a schedule, a time zone, a suspension and a deadline each for itself', async function () {
    this.timeout(60_000);
    const other = await render(CHART, [
      'cronjobs.backup.schedule=0 1 * * *',
      'cronjobs.backup.timeZone=Europe/Stockholm',
      'cronjobs.backup.suspend=true',
      'cronjobs.defaults.failedJobsHistoryLimit=9',
    ]);
    const { spec } = other.get('backup') as CronJob;
    assert.deepEqual([spec.schedule, spec.timeZone, spec.suspend], ['0 1 * * *', 'Europe/Stockholm', true]);
    for (const [task, job] of other) {
      assert.equal(job.spec.failedJobsHistoryLimit, 9);
      if (task !== 'backup') assert.equal(job.spec.suspend, false);
    }
    assert.ok(!(await render(CHART, ['cronjobs.backup.enabled=false'])).has('backup'));
  });

  it('have names that leave room for the minute of a Job', async function () {
    this.timeout(60_000);
    for (const job of (await render(CHART, [`fullnameOverride=${'long-'.repeat(10)}x`])).values())
      assert.ok(job.metadata.name.length <= 52, job.metadata.name);
  });

  it('are refused without a place for backups, and the refusal says the ways out', async function () {
    this.timeout(60_000);
    const failed = await render(CHART, [
      'mode=production',
      'postgresql.enabled=false',
      'secrets.existingSecret=x',
    ]).then(
      () => '',
      (error: Error) => error.message,
    );
    assert.match(failed, /config\.BACKUP_URL: is not set[\s\S]+s3:.*enabled: false/);
  });
});
