import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openStage, podOf, type Stage, startClient } from '../../support/rotation/stage.ts';
import { until } from '../../support/until.ts';

type Use = { generation: string; idleS: number };

/** A pod that says what the test wants it to. */
async function startPod(): Promise<{ url: string; says: { uses: Use[] | 'silent' }; close(): void }> {
  const says: { uses: Use[] | 'silent' } = { uses: [] };
  const server: Server = createServer((_request, response) => {
    if (says.uses === 'silent') response.writeHead(500).end();
    else response.end(JSON.stringify({ accepted: { ADMIN_TOKEN: says.uses } }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, says, close: () => void server.close() };
}

describe('a rotation that cannot go on', function () {
  this.timeout(240_000);
  let stage: Stage;
  let pod: Awaited<ReturnType<typeof startPod>>;
  const row = () => stage.latest('ADMIN_TOKEN');
  const generations = async () => {
    const { current, previous } = await stage.slots('ADMIN_TOKEN');
    return { current: current.generation, previous: previous?.generation ?? '' };
  };
  const waits = (step: string, words: RegExp) =>
    until(
      async () => {
        const rotation = await row();
        return rotation?.step === step && words.test(rotation.waiting ?? '') ? rotation : undefined;
      },
      { timeoutMs: 60_000, what: `${step} ${words}` },
    );
  const call = (token: string) => stage.apis[0]?.anybody.with({ token }).call('GET', '/api/ops/metrics');

  before(async () => {
    pod = await startPod();
    stage = await openStage({
      secrets: ['ADMIN_TOKEN', 'STRIPE_WEBHOOK_SECRET'],
      values: () => ({ STRIPE_WEBHOOK_SECRET: 'whsec_of_a_test_that_is_long_enough' }),
      apiCount: 1,
      pods: (apis) => [...apis.map(podOf), { pod: 'lagging', component: 'api', url: pod.url }],
      env: () => ({ STRIPE: JSON.stringify({ apiBase: 'http://127.0.0.1:1', webhookUrl: 'http://127.0.0.1:1/x' }) }),
    });
  });
  after(async () => {
    await stage.close();
    pod.close();
  });

  it('waits at both barriers for a pod that cannot load the value, names it, and goes on when it can; no client is refused', async () => {
    const { current: old } = await generations();
    const before = await stage.current('ADMIN_TOKEN');
    const client = startClient(async () => {
      const status = (await call(await stage.current('ADMIN_TOKEN')))?.status;
      return status === 200 ? undefined : String(status);
    });
    pod.says.uses = [{ generation: old, idleS: 0 }];
    const reconciler = stage.reconciler();
    await stage.ask('ADMIN_TOKEN');
    await waits('distributing', /^lagging does not accept the new value yet$/);
    const next = (await generations()).previous;
    deepEqual(await generations(), { current: old, previous: next });
    pod.says.uses = 'silent';
    await waits('distributing', /lagging does not say what it has loaded/);
    pod.says.uses = [
      { generation: old, idleS: 0 },
      { generation: next, idleS: 9 },
    ];
    await waits('activating', /^lagging does not use that value yet$/);
    equal((await call(before))?.status, 200);
    pod.says.uses = [
      { generation: next, idleS: 0 },
      { generation: old, idleS: 0.2 },
    ];
    await waits('retiring', /^lagging saw it used within the last 1 s$/);
    equal((await call(before))?.status, 200);
    const late = await stage.ask('ADMIN_TOKEN', { action: 'rollback' });
    match((await stage.answer(late)).answer ?? '', /past the point of no return/);
    pod.says.uses = [
      { generation: next, idleS: 0 },
      { generation: old, idleS: 5 },
    ];
    await waits('retiring', /^lagging still accepts the old value$/);
    pod.says.uses = [{ generation: next, idleS: 0 }];
    equal(await stage.ended('ADMIN_TOKEN'), 'done');
    equal((await call(before))?.status, 401);
    deepEqual((await client.stop()).refused, []);
    await reconciler.kill();
  });

  it('goes back after the new value was in use, and then the value of before is the only one', async () => {
    const { current: old } = await generations();
    const value = await stage.current('ADMIN_TOKEN');
    pod.says.uses = [{ generation: old, idleS: 0 }];
    const reconciler = stage.reconciler();
    await stage.ask('ADMIN_TOKEN');
    await waits('distributing', /lagging/);
    const next = (await generations()).previous;
    pod.says.uses = [
      { generation: old, idleS: 0 },
      { generation: next, idleS: 9 },
    ];
    await waits('activating', /lagging/);
    const tried = await stage.current('ADMIN_TOKEN');
    equal((await call(tried))?.status, 200);
    const cancel = await stage.ask('ADMIN_TOKEN', { action: 'cancel' });
    match((await stage.answer(cancel)).answer ?? '', /--rollback goes back/);
    equal((await stage.answer(await stage.ask('ADMIN_TOKEN', { action: 'rollback' }))).accepted, true);
    await waits('withdrawing', /lagging still accepts the old value|saw it used/);
    pod.says.uses = [{ generation: old, idleS: 0 }];
    equal(await stage.ended('ADMIN_TOKEN'), 'rolled_back');
    deepEqual(await generations(), { current: old, previous: '' });
    equal((await call(value))?.status, 200);
    equal((await call(tried))?.status, 401);
    await reconciler.kill();
  });

  it('made an emergency, waits no longer for who still uses the old value', async () => {
    const { current: old } = await generations();
    const value = await stage.current('ADMIN_TOKEN');
    pod.says.uses = [{ generation: old, idleS: 0 }];
    const reconciler = stage.reconciler();
    await stage.ask('ADMIN_TOKEN');
    await waits('distributing', /lagging/);
    const next = (await generations()).previous;
    pod.says.uses = [
      { generation: next, idleS: 0 },
      { generation: old, idleS: 0 },
    ];
    await waits('retiring', /lagging saw it used/);
    equal((await stage.answer(await stage.ask('ADMIN_TOKEN', { emergency: true }))).accepted, true);
    await waits('retiring', /lagging still accepts/);
    pod.says.uses = [{ generation: next, idleS: 0 }];
    equal(await stage.ended('ADMIN_TOKEN'), 'done');
    equal((await call(value))?.status, 401);
    ok((await stage.history('ADMIN_TOKEN')).some((line) => /asked: emergency, by test/.test(line)));
    await reconciler.kill();
  });

  it('with a provider out of reach waits, says so, and changes nothing; cancelled it is gone', async () => {
    const before = await stage.slots('STRIPE_WEBHOOK_SECRET');
    const reconciler = stage.reconciler();
    await stage.ask('STRIPE_WEBHOOK_SECRET');
    await until(
      async () => /Stripe cannot be reached/.test((await stage.latest('STRIPE_WEBHOOK_SECRET'))?.waiting ?? ''),
      {
        timeoutMs: 60_000,
      },
    );
    deepEqual(await stage.slots('STRIPE_WEBHOOK_SECRET'), before);
    equal((await stage.latest('STRIPE_WEBHOOK_SECRET'))?.step, 'provisioning');
    await reconciler.kill();
  });

  it('under a term that is over writes nothing', async () => {
    await stage.database.asSuperuser(`select ops.check_term('test', extract(epoch from now())::bigint)`);
    const before = await stage.database.asSuperuser('select count(*) from ops.rotation_steps');
    const request = await stage.ask('ADMIN_TOKEN');
    const reconciler = stage.reconciler(undefined, { STALE: '1' });
    await until(() => /a later one has written/.test(reconciler.output()), { timeoutMs: 60_000 });
    deepEqual(await stage.database.asSuperuser('select count(*) from ops.rotation_steps'), before);
    const [open] = await stage.database.asSuperuser<{ taken_at: unknown }>(
      `select taken_at from ops.rotation_requests where id = '${request}'`,
    );
    equal(open?.taken_at, null);
    await reconciler.kill();
  });

  it('that somebody else changed by hand is given up, and left as it is', async () => {
    pod.says.uses = [{ generation: (await generations()).current, idleS: 0 }];
    const reconciler = stage.reconciler();
    await waits('distributing', /lagging/);
    const { createFolderStore } = await import('../../../services/controller/rotation/folder-store.ts');
    const store = createFolderStore(stage.folder, () => true);
    const { signal } = new AbortController();
    const stored = await store.read('ADMIN_TOKEN', signal);
    const value = 'a-token-that-a-person-made-and-put-there-by-hand';
    await store.write('ADMIN_TOKEN', { current: { value, generation: 'by-hand' } }, stored?.version ?? '', signal);
    equal(await stage.ended('ADMIN_TOKEN'), 'abandoned');
    equal(await stage.current('ADMIN_TOKEN'), value);
    await reconciler.kill();
  });
});
