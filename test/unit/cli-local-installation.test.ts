import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { withLocalInstallation } from '../../services/cli/local-installation.ts';

describe('klar beside npm start', () => {
  let data = '';
  before(async () => {
    data = await mkdtemp(path.join(tmpdir(), 'klar-local-'));
    await mkdir(path.join(data, 'secrets'));
  });
  after(() => rm(data, { recursive: true, force: true }));

  it('finds the local installation where nothing else is named', () => {
    assert.equal(withLocalInstallation({ KLAR_DATA_DIR: data }).KLAR_SECRETS_DIR, path.join(data, 'secrets'));
  });

  for (const [why, env] of Object.entries({
    'another database is named': { DATABASE_URL: 'postgres://elsewhere/klar' },
    "another role's database is named": { DATABASE_URL_OPS: 'postgres://elsewhere/klar' },
    'its file is named': { DATABASE_URL_OPS_FILE: '/run/ops' },
    'it runs as production': { KLAR_PROFILE: 'production' },
    'NODE_ENV is production': { NODE_ENV: 'production' },
    'there is none': { KLAR_DATA_DIR: '/nonexistent' },
  })) {
    it(`leaves the environment alone where ${why}`, () => {
      const given = { KLAR_DATA_DIR: data, ...env };
      assert.equal(withLocalInstallation(given), given);
    });
  }

  it('keeps a secrets folder that is named', () => {
    assert.equal(withLocalInstallation({ KLAR_DATA_DIR: data, KLAR_SECRETS_DIR: '/mine' }).KLAR_SECRETS_DIR, '/mine');
  });
});
