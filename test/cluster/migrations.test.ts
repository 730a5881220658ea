import assert from 'node:assert/strict';
import { until } from '../support/until.ts';
import {
  apply,
  type Installation,
  installation,
  jobEnd,
  kubectl,
  kubectlJson,
  podAdmin,
  podsOf,
  psql,
  purchaseJourney,
  readyPod,
  sql,
} from './support/index.ts';
import { assertKept, assertNoneFailed, assertNoneRefused, underLoad } from './support/under-load.ts';

/** Long enough for a second Job to come, and for a pod to be killed, while it runs. */
const SLOW_S = 20;

const NEXT_RELEASE = {
  '9000_of_the_next_release.sql': `create table app.of_the_next_release (tenant_id text not null, id text not null,
    primary key (tenant_id, id));
    select app.tenant_table('app.of_the_next_release');
    select pg_sleep(${SLOW_S});`,
};

interface Job {
  metadata: { name: string; labels: Record<string, string> };
  spec: {
    selector?: unknown;
    backoffLimit: number;
    template: {
      metadata: { labels: Record<string, string> };
      spec: {
        volumes: unknown[];
        initContainers?: { name: string }[];
        containers: { volumeMounts: unknown[] }[];
      };
    };
  };
}

describe('migration Jobs', () => {
  let klar: Installation;
  before(async () => {
    klar = await installation();
  });
  after(async () => {
    await kubectl(['delete', 'jobs,configmaps', '-l', 'klar.dev/test=migrations', '--wait=true']);
    // Later files see the schema of the release they test.
    await psql(`begin; drop table if exists app.of_the_next_release, app.half_way; drop table if exists ops.second_half;
      delete from ops.migrations where name >= '9000'; delete from ops.migration_checksums where name >= '9000'; commit`);
  });

  /** The chart's own Job under another name, with the migrations of a release to come beside those of the image. */
  async function migrateJob(name: string, files: Record<string, string>): Promise<void> {
    const { items } = await kubectlJson<{ items: Job[] }>(['get', 'jobs', '-l', 'app.kubernetes.io/component=migrate']);
    const job = items[0];
    assert.ok(job, 'the chart has made a migration Job');
    const spec = structuredClone(job.spec);
    delete spec.selector;
    for (const key of Object.keys(spec.template.metadata.labels))
      if (key.includes('controller-uid') || key.includes('job-name')) delete spec.template.metadata.labels[key];
    spec.template.spec.volumes.push({ name: 'more', configMap: { name } });
    for (const file of Object.keys(files))
      spec.template.spec.containers[0]?.volumeMounts.push({
        name: 'more',
        mountPath: `/app/migrations/${file}`,
        subPath: file,
      });
    const labels = { 'klar.dev/test': 'migrations' };
    await apply(JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels }, data: files }));
    await apply(JSON.stringify({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name, labels }, spec }));
  }

  const logOf = (job: string) => kubectl(['logs', `job/${job}`, '-c', 'migrate']);
  const version = async () => (await sql<{ version: number }>('select ops.schema_version() as version'))[0]?.version;
  const running = (what: string) =>
    until(
      async () =>
        (
          await sql(`select 1 as yes from pg_stat_activity where application_name = 'klar migrate' and query like '%${what}%'
          and state = 'active' and query not like '%pg_stat_activity%'`)
        ).length > 0,
      { timeoutMs: 90_000, everyMs: 200, what: `a migration with ${what}` },
    );

  it('two at once: one works, the other waits, and both leave with 0 only when the schema is at its target', async () => {
    const files = NEXT_RELEASE;
    // Before, so that the previous release is seen serving on the schema while it changes and after.
    const jobs = ['migrate-one', 'migrate-two'];
    const { outcome, spans } = await underLoad(90, (during) =>
      during('two migration Jobs', async () => {
        await Promise.all(jobs.map((job) => migrateJob(job, files)));
        await running('pg_sleep');
        await until(
          async () =>
            (await sql(`select pid from pg_stat_activity where application_name = 'klar migrate'`)).length === 2,
          { timeoutMs: SLOW_S * 1_000, everyMs: 200, what: 'the other one is there, too' },
        );
        assert.notEqual(await version(), 9000, 'neither has left, as the schema is not there yet');
        for (const job of jobs) {
          const { status } = await kubectlJson<{ status: { succeeded?: number } }>(['get', 'job', job]);
          assert.equal(status.succeeded ?? 0, 0, `${job} has not left before the schema was there`);
        }
        assert.deepEqual(await Promise.all(jobs.map((job) => jobEnd(job))), ['complete', 'complete']);
      }),
    );
    assert.equal(await version(), 9000);
    const logs = (await Promise.all(jobs.map(logOf))).sort();
    assert.equal(
      logs.filter((log) => log.includes('applied 9000_of_the_next_release')).length,
      1,
      logs.join('\n---\n'),
    );
    assert.equal(logs.filter((log) => log.includes('up to date')).length, 1, logs.join('\n---\n'));

    assertKept(outcome);
    assertNoneFailed(outcome);
    assertNoneRefused(outcome, spans, []);
  });

  it('killed half-way leaves a state that the next one finishes, with the previous release serving all the while', async () => {
    const files = {
      ...NEXT_RELEASE,
      '9001_half_way.sql': `create table app.half_way (tenant_id text not null, id text not null, primary key (tenant_id, id));
        select app.tenant_table('app.half_way');
        select pg_sleep(${SLOW_S});`,
      // Without a transaction: what was done before the kill stays, and the file begins again.
      '9002_second_half.sql': `-- no transaction
create table if not exists ops.second_half (id text);
-- next statement
select pg_sleep(${SLOW_S})
-- next statement
create index concurrently if not exists second_half_id on ops.second_half (id);`,
    };
    await migrateJob('migrate-killed', files);
    // Of a run of this test alone nothing is there yet; else the test before has made it.
    for (const file of ['9001', '9002']) {
      await until(async () => Number(await version()) === Number(file) - 1, {
        timeoutMs: 90_000,
        everyMs: 200,
        what: `${file} is next`,
      });
      await running('pg_sleep');
      // The kubelet tells a moment later that it runs.
      const pod = await until(
        async () =>
          (await podsOf('migrate')).find(
            (candidate) =>
              candidate.metadata.labels['job-name'] === 'migrate-killed' && candidate.status.phase === 'Running',
          ),
        { timeoutMs: (SLOW_S * 1_000) / 2, everyMs: 200, what: 'the pod that migrates' },
      );
      await kubectl(['delete', 'pod', pod.metadata.name, '--grace-period=0', '--force']);
      await purchaseJourney();
    }
    assert.equal(await jobEnd('migrate-killed', 240_000), 'complete');
    assert.equal(await version(), 9002);
    const [index] = await sql<{ valid: boolean }>(
      `select i.indisvalid as valid from pg_index i where i.indexrelid = 'ops.second_half_id'::regclass`,
    );
    assert.equal(index?.valid, true);
    for (const component of ['api', 'webhook-ingest', 'worker']) {
      const pod = await readyPod(component);
      assert.match(await podAdmin(pod.metadata.name, '/readyz'), /"ok":true/, `${component} of the previous release`);
    }
    assert.ok(klar.release);
  });
});
