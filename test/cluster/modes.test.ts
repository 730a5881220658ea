import assert from 'node:assert/strict';
import { until } from '../support/until.ts';
import { CHART, clusterSettings, type Ended, helm, notRun, type Pod } from './support/index.ts';
import {
  deleteStrictNamespace,
  kubectlStrict,
  makeSecret,
  makeStrictNamespace,
  STRICT,
  strictRows,
  strictSecrets,
  strictServes,
  superuserSecret,
  whileServing,
} from './support/strict.ts';
import { endedContainer, namesOf, servingPods, strictRelease, tell } from './support/strict-release.ts';

const OF_RELEASE = 'app.kubernetes.io/instance=klar';
const MIGRATE = `${OF_RELEASE},app.kubernetes.io/component=migrate`;

const uids = (pods: Pod[]) => pods.map(({ metadata }) => metadata.uid).sort();
const without = (values: Record<string, string>, ...names: string[]) =>
  Object.fromEntries(Object.entries(values).filter(([name]) => !names.includes(name)));
const succeeded = ({ code, stderr }: Ended) => assert.equal(code, 0, stderr);

describe('production and staging as a platform team installs them', () => {
  const klar = strictRelease();
  const secrets = strictSecrets();
  const { image, imageNext } = clusterSettings();

  before(async () => {
    await makeStrictNamespace();
    await makeSecret('klar-secrets', secrets);
    await makeSecret('klar-superuser', superuserSecret());
  });

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    for (const args of [
      ['get', 'pods,jobs', '-o', 'wide'],
      ['get', 'events', '--sort-by=.lastTimestamp'],
    ])
      tell((await kubectlStrict(args)).split('\n').slice(-30).join('\n'));
  });

  after(async () => {
    klar.cleanUp();
    await deleteStrictNamespace();
  });

  it('refuses a Secret that lacks keys before anything is made, each with its mend', async () => {
    await makeSecret('klar-lacking', without(secrets, 'AUTH_SECRET', 'STRIPE_WEBHOOK_SECRET', 'DATABASE_URL_CLEANUP'));
    const refused = await klar.install({
      secrets: { existingSecret: 'klar-lacking' },
      migrations: { superuserSecret: { name: 'klar-nobody' } },
    });
    assert.notEqual(refused.code, 0);
    tell(refused.stderr);
    for (const name of ['AUTH_SECRET', 'STRIPE_WEBHOOK_SECRET', 'DATABASE_URL_CLEANUP'])
      assert.match(
        refused.stderr,
        new RegExp(`klar-lacking has no key ${name}\\n\\s+-> add it, or say in secrets.overrides.${name} where it is`),
      );
    assert.match(refused.stderr, /there is no key DATABASE_URL_SUPERUSER in a Secret klar-nobody .*\n\s+-> make it/);
    assert.match(refused.stderr, /The values have 4 problems/);
    assert.deepEqual(await namesOf('all,jobs,networkpolicies,serviceaccounts,configmaps', OF_RELEASE), []);
  });

  it('says in the log of a pod what a Secret lacks that nobody looked at, and tries no migration again', async () => {
    // As Argo CD installs: `helm template` sees no cluster.
    await makeSecret('argo-lacking', without(secrets, 'AUTH_SECRET', 'ADMIN_TOKEN', 'DATABASE_URL_MIGRATOR'));
    const objects = await helm([
      ...['template', 'argo', CHART, '--set', 'fullnameOverride=argo', '-n', STRICT],
      ...klar.valueArgs({
        secrets: { existingSecret: 'argo-lacking' },
        migrations: { superuserSecret: { name: '' } },
      }),
      ...['api/deployment', 'api/configmap', 'api/serviceaccount', 'migrate/job', 'migrate/serviceaccount'].flatMap(
        (name) => ['--show-only', `templates/${name}.yaml`],
      ),
    ]);
    await kubectlStrict(['apply', '-f', '-'], objects);
    const api = await endedContainer('argo', 'api');
    assert.equal(api.code, 78);
    for (const name of ['AUTH_SECRET', 'ADMIN_TOKEN'])
      assert.match(api.log, new RegExp(`${name}: is missing\\n\\s+-> put it into /etc/klar/secrets/${name}/current`));
    const migrate = await endedContainer('argo', 'migrate');
    assert.equal(migrate.code, 78);
    assert.match(migrate.log, /missing: .*add the key DATABASE_URL_MIGRATOR to the Secret/);
    await kubectlStrict(['wait', '--for=condition=Failed', 'job/argo-migrate', '--timeout=20s']);
    assert.equal(migrate.pods, 1, 'wrong settings are not tried again');
    await kubectlStrict(['delete', 'deployment,job,configmap,serviceaccount', '-l', 'app.kubernetes.io/instance=argo']);
  });

  it('installs production on an empty server: roles, database and schema by the hook, then the pods', async () => {
    succeeded(await klar.install({}));
    assert.equal((await klar.hook()).phase, 'Succeeded');
    assert.deepEqual(await namesOf('jobs,networkpolicies,serviceaccounts', MIGRATE), [], 'the hook leaves nothing');
    const logins = await strictRows(
      `select rolname from pg_roles where rolcanlogin and rolname like 'klar%' order by 1`,
    );
    assert.ok(logins.includes('klar_api_a') && logins.includes('klar_migrator_a'), logins.join());
    const [version] = await strictRows('select ops.schema_version()');
    assert.ok(Number(version) > 0);
    const pods = await servingPods();
    assert.deepEqual([...new Set(pods.map(({ spec }) => spec.containers[0]?.image))], [image]);
    const settings = await klar.settings('api');
    assert.match(settings, /KLAR_PROFILE\s.*production/);
    assert.match(settings, /BILLING_MODE\s.*production/);
    tell(`schema ${version}; logins ${logins.join(', ')}`);
    await strictServes();
  });

  it('passes helm test, with a webhook signed by the Secret', () => klar.passesTest());

  it('upgrades to the next image by the hook, while it serves', async function () {
    if (!imageNext) return notRun(this, 'KLAR_TEST_IMAGE_NEXT is not set');
    const [before, old] = [await klar.hook(), uids(await servingPods())];
    const { result, asked, failed } = await whileServing(() => klar.upgrade({}, { of: imageNext }));
    succeeded(result);
    const after = await klar.hook();
    assert.equal(after.phase, 'Succeeded');
    assert.ok(Date.parse(after.started_at) > Date.parse(before.started_at), 'the migration ran again');
    const pods = await servingPods();
    assert.deepEqual([...new Set(pods.map(({ spec }) => spec.containers[0]?.image))], [imageNext]);
    assert.ok(!uids(pods).some((uid) => old.includes(uid)));
    await strictServes();
    tell(`asked ${asked} times meanwhile, ${failed.length} failed`);
    assert.deepEqual(failed, []);
  });

  it('leaves the old pods serving when the hook cannot reach the database, and the log says what is in the way', async () => {
    const old = uids(await servingPods());
    const nowhere = { to: [{ ipBlock: { cidr: '192.0.2.1/32' } }] };
    const { result, asked, failed } = await whileServing(async () => {
      const ended = await klar.upgrade({ networkPolicies: { database: nowhere } }, { timeout: '20s' });
      tell(ended.stderr);
      const log = await until(() => kubectlStrict(['logs', 'job/klar-migrate', '-c', 'wait-for-database']), {
        timeoutMs: 30_000,
        everyMs: 500,
        what: 'the log of the hook',
      });
      tell(log);
      // Most networks drop what a policy forbids; some refuse it.
      assert.match(
        log,
        /waiting for postgres:5432: (no answer \(do networkPolicies.database|ECONNREFUSED|EHOSTUNREACH)/,
      );
      return ended;
    });
    assert.notEqual(result.code, 0);
    assert.match(result.stderr, /UPGRADE FAILED: pre-upgrade hooks failed: .*klar-migrate/);
    assert.deepEqual(uids(await servingPods()), old);
    assert.deepEqual(failed, []);
    await strictServes();
    tell(`asked ${asked} times meanwhile, ${failed.length} failed; the ${old.length} pods are the old ones`);
  });

  it('prints with helm’s own message what the migration said, at its first try where no other would mend it', async () => {
    const old = uids(await servingPods());
    await makeSecret('klar-typo', { url: secrets.DATABASE_URL_MIGRATOR?.replace('postgres://', 'postgres//') ?? '' });
    const mistyped = () =>
      klar.upgrade(
        {
          secrets: { overrides: { DATABASE_URL_MIGRATOR: { secretName: 'klar-typo', key: 'url' } } },
          // The roles are there; helm prints the logs of no init container.
          migrations: { superuserSecret: { name: '' } },
        },
        { timeout: '60s' },
      );
    let ended = await mistyped();
    // helm asks the kubelet for the log once, and goes without when a busy one does not answer.
    if (!ended.stderr.includes('DATABASE_URL_MIGRATOR')) ended = await mistyped();
    const stderr = ended.stderr.replaceAll('\\n', '\n');
    tell(stderr);
    assert.notEqual(ended.code, 0);
    assert.match(stderr, /DATABASE_URL_MIGRATOR: .*\n\s+-> put it into .*postgres:/);
    const password = /:([^:@]+)@/.exec(secrets.DATABASE_URL_MIGRATOR ?? '')?.[1] ?? assert.fail();
    assert.ok(!stderr.includes(password), 'no password is printed');
    assert.match(stderr, /klar-migrate not ready. status: Failed, message: Job Failed. failed: 1\/1/);
    assert.deepEqual(uids(await servingPods()), old);
  });

  it('takes the mended upgrade after it, to staging with test keys, and passes helm test again', async () => {
    await makeSecret('klar-staging', { ...secrets, STRIPE_SECRET_KEY: `sk_test_${secrets.ADMIN_TOKEN}` });
    succeeded(await klar.upgrade({ mode: 'staging', secrets: { existingSecret: 'klar-staging' } }));
    assert.equal((await klar.hook()).phase, 'Succeeded');
    assert.deepEqual(await namesOf('jobs', MIGRATE), [], 'the failed Job has made way');
    const settings = await klar.settings('worker');
    assert.match(settings, /KLAR_PROFILE\s.*staging/);
    assert.match(settings, /BILLING_MODE\s.*test/);
    await klar.passesTest();
  });

  it('uninstalls, and leaves what the README names', async () => {
    succeeded(await klar.uninstall());
    const kinds = 'all,configmaps,secrets,serviceaccounts,networkpolicies,poddisruptionbudgets,ingresses,pvc';
    const named = ['pod/klar-test-api', 'pod/klar-test-webhook'];
    // helm waits for what it made, and not for the pods of a Deployment.
    await until(async () => (await namesOf('pods', OF_RELEASE)).join() === named.join(), {
      timeoutMs: 60_000,
      everyMs: 500,
      what: 'the end of the pods',
    });
    assert.deepEqual(await namesOf(kinds, OF_RELEASE), named);
    const own = ['argo-lacking', 'klar-lacking', 'klar-secrets', 'klar-staging', 'klar-superuser', 'klar-typo'];
    const left = (await kubectlStrict(['get', 'secrets', '-o', 'name'])).split('\n').filter(Boolean).sort();
    assert.deepEqual(
      left,
      own.map((name) => `secret/${name}`),
    );
    const migrations = await strictRows('select name from ops.migrations');
    assert.ok(migrations.length > 0, 'the data is the server’s');
    tell(`left: ${[...named, ...left].join(', ')}, ${migrations.length} migrations in the database`);
  });
});
