import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { STEPS } from '#domain/secrets/index.ts';
import { openStage, type Stage } from '../../support/rotation/stage.ts';

describe('rotation of our own secrets', function () {
  this.timeout(120_000);
  let stage: Stage;
  before(async () => {
    stage = await openStage();
  });
  after(() => stage.close());

  it('replaces all three, step by step, and proves the old values dead', async () => {
    const { apis } = stage;
    const before = {
      token: await stage.current('ADMIN_TOKEN'),
      salt: (await stage.slots('API_SECRET_SALT')).current.generation,
    };
    const admin = apis[0]?.anybody.with({ token: before.token });
    equal((await admin?.call('GET', '/api/ops/metrics'))?.status, 200);
    const reconciler = stage.reconciler();
    for (const secret of ['ADMIN_TOKEN', 'AUTH_JWT_KEY', 'API_SECRET_SALT']) {
      deepEqual((await stage.answer(await stage.ask(secret))).accepted, true);
    }
    for (const secret of ['ADMIN_TOKEN', 'AUTH_JWT_KEY', 'API_SECRET_SALT']) {
      equal(await stage.ended(secret), 'done', reconciler.output());
      const acted = (await stage.history(secret)).filter((line) => line.includes(' acted'));
      deepEqual(
        acted.map((line) => line.split(' ')[0]),
        [...STEPS],
      );
      deepEqual(Object.keys(await stage.slots(secret)), ['current']);
    }
    equal((await admin?.call('GET', '/api/ops/metrics'))?.status, 401);
    const now = await stage.current('ADMIN_TOKEN');
    for (const api of apis) equal((await api.anybody.with({ token: now }).call('GET', '/api/ops/metrics')).status, 200);
    const all = JSON.stringify(
      await stage.database.asSuperuser(
        `select to_jsonb(r) from ops.rotations r union all select to_jsonb(h) from ops.rotation_steps h
       union all select to_jsonb(q) from ops.rotation_requests q union all select to_jsonb(s) from ops.secret_states s`,
      ),
    );
    for (const value of [before.token, now]) {
      ok(!all.includes(value), 'a value is in the database');
      ok(!reconciler.output().includes(value), 'a value is in the log');
    }
    match(all, /a test/);
    await reconciler.stop();
  });
});
