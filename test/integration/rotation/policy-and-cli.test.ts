import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Writable } from 'node:stream';
import { runCli } from '../../../services/cli/main.ts';
import { openStage, type Stage } from '../../support/rotation/stage.ts';
import { until } from '../../support/until.ts';

describe('policies and klar rotate', function () {
  this.timeout(120_000);
  let stage: Stage;
  const klar = async (...argv: string[]) => {
    const out = { stdout: '', stderr: '' };
    const to = (name: keyof typeof out) =>
      new Writable({
        write(chunk, _encoding, done) {
          out[name] += chunk;
          done();
        },
      });
    const env = {
      KLAR_PROFILE: 'test',
      DATABASE_URL_OPS: stage.database.url('klar_ops'),
      KLAR_SECRETS_DIR: '/nowhere',
    };
    const code = await runCli({ argv, env, stdout: to('stdout'), stderr: to('stderr') });
    return { code, ...out };
  };
  const state = async (secret: string) => {
    const { stdout } = await klar('secrets', 'status', '--json');
    return (JSON.parse(stdout) as { secrets: { secret: string; reason: string; message: string }[] }).secrets.find(
      (one) => one.secret === secret,
    );
  };
  const policies = (rows: object[]) =>
    writeFile(path.join(stage.folder, 'rotation.yaml'), JSON.stringify({ version: 1, policies: rows }));
  const due = (secret: string, kind: string) => ({ secret, kind, period: '1h', soak: '0s' });
  /** Two hours ago, for the schedule. */
  const age = () => stage.database.asSuperuser(`update ops.secret_states set since = now() - interval '2 hours'`);

  before(async () => {
    stage = await openStage({ secrets: ['ADMIN_TOKEN', 'API_SECRET_SALT'], apiCount: 1 });
  });
  after(() => stage.close());

  it('a bad document starts nothing that is due, says what mends it, and the secrets stay; a good one rotates them', async () => {
    await policies([due('ADMIN_TOKEN', 'admin-token')]);
    const before = await stage.slots('ADMIN_TOKEN');
    const reconciler = stage.reconciler();
    await until(async () => (await state('ADMIN_TOKEN'))?.reason === 'Idle', { timeoutMs: 20_000 });
    await age();
    await until(() => /no policy for API_SECRET_SALT, which exists. Add/.test(reconciler.output()), {
      timeoutMs: 20_000,
    });
    await reconciler.kill();
    const again = stage.reconciler();
    await until(() => /not taken/.test(again.output()), { timeoutMs: 20_000 });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    deepEqual(await stage.slots('ADMIN_TOKEN'), before);
    equal(await stage.latest('ADMIN_TOKEN'), undefined);
    await again.kill();

    await policies([
      due('ADMIN_TOKEN', 'admin-token'),
      { ...due('API_SECRET_SALT', 'api-key-pepper'), enabled: false },
    ]);
    await age();
    const third = stage.reconciler();
    equal(await stage.ended('ADMIN_TOKEN'), 'done', third.output());
    match((await stage.latest('ADMIN_TOKEN'))?.startedBy ?? '', /^schedule$/);
    ok((await stage.slots('ADMIN_TOKEN')).current.generation !== before.current.generation);
    // Once: the new value is young.
    equal((await stage.database.asSuperuser(`select from ops.rotations`)).length, 1);
    equal(await stage.latest('API_SECRET_SALT'), undefined);
    await third.kill();
  });

  it('klar rotate says what it costs, is answered, and klar secrets status shows the history without a value', async () => {
    const dry = await klar('rotate', 'AUTH_JWT_KEY', '--emergency', '--dry-run');
    equal(dry.code, 0);
    match(dry.stdout, /Every access token dies at once/);
    equal((await klar('rotate', 'ADMIN_TOKN')).code, 64);
    const reconciler = stage.reconciler();
    const value = await stage.current('ADMIN_TOKEN');
    const asked = await klar('rotate', 'ADMIN_TOKEN', '--reason', 'a person left', '--json');
    equal(asked.code, 0, asked.stderr);
    const id = (await stage.latest('ADMIN_TOKEN'))?.id ?? '';
    match(asked.stdout, /"accepted": true/);
    equal(await stage.ended('ADMIN_TOKEN'), 'done');
    const shown = await klar('secrets', 'status', 'ADMIN_TOKEN');
    match(shown.stdout, new RegExp(`${id}.*done.*cli:.*a person left`));
    match(shown.stdout, /verifying +acted +the old value was used, and refused/);
    ok(!shown.stdout.includes(value));
    const nothing = await klar('rotate', 'ADMIN_TOKEN', '--rollback');
    equal(nothing.code, 1);
    match(nothing.stdout, /No: no rotation of it runs/);
    await reconciler.kill();
  });
});
