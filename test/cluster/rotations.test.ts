import assert from 'node:assert/strict';
import { STEPS } from '#domain/secrets/index.ts';
import { until } from '../support/until.ts';
import { startedPod } from './support/backup-pods.ts';
import {
  allReady,
  apply,
  clientOf,
  clusterSettings,
  createJobFrom,
  generatedSecret,
  HOSTS,
  type Installation,
  ingressTarget,
  installation,
  isReady,
  killInside,
  kubectl,
  kubectlJson,
  podExec,
  podsOf,
  secretValue,
  sql,
  tryKubectl,
} from './support/index.ts';
import { assertKept, assertNoneFailed, underLoad } from './support/under-load.ts';

const { full, release } = clusterSettings();
const JOB = 'rotation-toolbox';
const DEAF = `${release}-api-deaf`;
/** Three barriers, each up to a minute and a half of kubelets, a takeover for each kill, and the silence of the old value. */
const ROTATION_MS = 900_000;
/** Of every kind that needs no provider from outside; those are in test/crash, with the same code. */
const SECRETS = full
  ? ['ADMIN_TOKEN', 'DATABASE_URL_API', 'API_SECRET_SALT', 'DATABASE_URL_WORKER', 'AUTH_JWT_KEY']
  : ['ADMIN_TOKEN', 'DATABASE_URL_API'];

/** More than the controller takes to see that a mounted file changed. */
const POLICY_READ_MS = 5_000;

type Row = { id: string; step: string; acted: boolean; outcome: string | null; waiting: string | null };

describe('rotations', () => {
  let klar: Installation;
  let toolbox: string;
  before(async () => {
    klar = await installation();
    // Both values would else be accepted for an hour.
    await klar.upgrade({ controller: { rotation: { soak: '5s' } } });
    await tryKubectl(['delete', 'job', JOB, '--ignore-not-found', '--wait']);
    await createJobFrom(`${release}-toolbox`, JOB);
    toolbox = (await startedPod(JOB)).metadata.name;
    await until(async () => (await sql('select 1 from ops.secret_states limit 1')).length > 0, {
      timeoutMs: 180_000,
      everyMs: 1_000,
      what: 'what the controller knows of secrets',
    });
    // Kubelets bring a changed policy within a minute and a half; a rotation keeps the one it began with.
    for (const { metadata } of (await podsOf('controller')).filter(isReady))
      await until(
        async () =>
          (await podExec(metadata.name, ['cat', '/etc/klar/rotation/rotation.yaml'])).stdout.includes('soak: 5s'),
        { timeoutMs: 180_000, everyMs: 2_000, what: `the policy in ${metadata.name}` },
      );
    await new Promise((resolve) => setTimeout(resolve, POLICY_READ_MS));
  });
  after(async () => {
    await tryKubectl(['delete', `job/${JOB}`, `pod/${DEAF}`, `secret/${DEAF}`, '--ignore-not-found', '--wait']);
    await klar?.upgrade();
  });

  /** As a person with the runbook would. */
  async function command(...words: string[]): Promise<string> {
    const { code, stdout, stderr } = await podExec(toolbox, ['klar', ...words]);
    assert.equal(code, 0, `klar ${words.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  }
  const latest = async (secret: string): Promise<Row | undefined> =>
    (
      await sql<Row>(
        `select id, step, acted, outcome, waiting from ops.rotations where secret = '${secret}' order by started_at desc limit 1`,
      )
    )[0];
  async function leader() {
    const lease = await kubectlJson<{ spec: { holderIdentity?: string } }>(['get', 'lease', `${release}-controller`]);
    const holder = lease.spec.holderIdentity ?? '';
    return (await podsOf('controller')).find((pod) => isReady(pod) && holder.startsWith(`${pod.metadata.name}_`));
  }
  /** What is in the Secret under a name and its companions: names of keys alone. */
  async function keysOf(secret: string): Promise<string[]> {
    return Object.keys(await generatedSecret()).filter(
      (key) => (key === secret || key.startsWith(`${secret}.`)) && !key.endsWith('generation'),
    );
  }

  /** How each old value is shown to be dead: by using it. */
  const refusedNow: Record<string, (old: string) => Promise<void>> = {
    async ADMIN_TOKEN(old) {
      const { status } = await clientOf(ingressTarget(HOSTS.api)).with({ token: old }).call('GET', '/api/ops/metrics');
      assert.equal(status, 401);
    },
    DATABASE_URL_API: loginIsDead,
    DATABASE_URL_WORKER: loginIsDead,
  };
  async function loginIsDead(old: string): Promise<void> {
    const script = `import pg from 'pg'; const client = new pg.Client({ connectionString: process.argv[2] });
      try { await client.connect(); console.log('in'); await client.end(); } catch (error) { console.log(error.code); }`;
    const { stdout } = await podExec(toolbox, ['node', '--input-type=module', '-', old], { input: script });
    assert.match(stdout.trim(), /^28/, 'the server refuses the login');
  }

  for (const secret of SECRETS)
    it(`of ${secret}, under load, with the leader killed after every step: nobody is refused, the old value is dead`, async () => {
      const old = await secretValue(secret);
      const refused: string[] = [];
      let asked = 0;
      let over = false;
      /** Who holds ADMIN_TOKEN reads it from the Secret now and then, as a monitor would. */
      const monitor = async () => {
        const anybody = clientOf(ingressTarget(HOSTS.api));
        for (let turn = 0, token = ''; !over; turn += 1) {
          if (turn % 20 === 0) token = await secretValue('ADMIN_TOKEN');
          const { status } = await anybody.with({ token }).call('GET', '/api/ops/metrics');
          asked += 1;
          if (status === 401 || status === 403) refused.push(`${new Date().toISOString()}: ${status}`);
          await new Promise((resolve) => setTimeout(resolve, 500));
        }
      };
      const kills: string[] = [];
      const { outcome } = await underLoad(ROTATION_MS / 1_000, async (during) => {
        const watching = monitor();
        try {
          await during(`rotation of ${secret}`, async () => {
            await command('rotate', secret, '--reason', 'a test');
            const id = (await latest(secret))?.id;
            let killedAt = '';
            await until(
              async () => {
                const row = await latest(secret);
                if (row?.id !== id) throw new Error('another rotation');
                if (row?.outcome) return true;
                if (row && row.step !== killedAt) {
                  killedAt = row.step;
                  const pod = await leader();
                  if (pod) {
                    await killInside(pod);
                    kills.push(row.step);
                  }
                }
                throw new Error(`${row?.step}: ${row?.waiting}`);
              },
              { timeoutMs: ROTATION_MS, everyMs: 500, what: `the end of the rotation of ${secret}` },
            );
          });
        } finally {
          over = true;
          await watching;
        }
      });
      const row = await latest(secret);
      assert.equal(row?.outcome, 'done');
      const acted = await sql<{ step: string }>(
        `select step from ops.rotation_steps where rotation_id = '${row?.id}' and event = 'acted' order by number`,
      );
      assert.deepEqual(
        acted.map(({ step }) => step),
        [...STEPS],
        'every step, once, in order',
      );
      assert.ok(kills.length >= (full ? 4 : 3), `killed at ${kills.join(', ')}`);
      assert.deepEqual(await keysOf(secret), [secret]);
      assert.notEqual(await secretValue(secret), old);
      await refusedNow[secret]?.(old);
      assert.deepEqual(refused, []);
      assert.ok(asked > 50);
      assertKept(outcome);
      assertNoneFailed(outcome);
      process.stdout.write(`      leader killed at ${kills.join(', ')}; ${asked} questions of a monitor, 0 refused\n`);
      // The history, by the command of the runbook: who, when, why, and no value.
      const history = await command('secrets', 'status', secret);
      assert.match(history, /a test/);
      for (const value of [old, await secretValue(secret)]) assert.ok(!history.includes(value));
    });

  it('waits for a pod that does not get the new value, names it, changes nothing meanwhile, and goes on without it', async () => {
    const old = await secretValue('ADMIN_TOKEN');
    await deafPod();
    await command('rotate', 'ADMIN_TOKEN');
    const row = await until(
      async () => {
        const now = await latest('ADMIN_TOKEN');
        return now?.waiting?.includes(DEAF) ? now : undefined;
      },
      { timeoutMs: 240_000, everyMs: 1_000, what: `that the rotation waits for ${DEAF}` },
    );
    assert.equal(row.step, 'distributing');
    // Longer than any kubelet takes.
    await new Promise((resolve) => setTimeout(resolve, full ? 120_000 : 20_000));
    assert.equal((await latest('ADMIN_TOKEN'))?.step, 'distributing');
    assert.equal(await secretValue('ADMIN_TOKEN'), old, 'the old one is in use');
    assert.match(await command('secrets', 'status'), new RegExp(`ADMIN_TOKEN.*${DEAF}`));
    await command('rotate', 'ADMIN_TOKEN', '--cancel');
    await until(async () => (await latest('ADMIN_TOKEN'))?.outcome, {
      timeoutMs: 240_000,
      everyMs: 1_000,
      what: 'the end of what was cancelled, although the pod is still there',
    });
    assert.equal(await secretValue('ADMIN_TOKEN'), old);
    await kubectl(['delete', 'pod', DEAF, '--wait']);
    await allReady('api', 2);
  });

  /** A pod of the api like the others, but for its Secret: a copy that nobody changes. */
  async function deafPod(): Promise<void> {
    const data = await generatedSecret();
    await apply(JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name: DEAF }, data }));
    type Template = { metadata: { labels: object }; spec: object };
    const { spec } = await kubectlJson<{ spec: { template: Template } }>(['get', 'deployment', `${release}-api`]);
    const { metadata, spec: pod } = spec.template;
    const copied = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: DEAF, labels: metadata.labels },
      spec: pod,
    }).replaceAll(`"${release}-generated"`, `"${DEAF}"`);
    await apply(copied);
    await kubectl(['wait', '--for=condition=Ready', `pod/${DEAF}`, '--timeout=120s']);
  }
});
