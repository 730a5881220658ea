import assert from 'node:assert/strict';
import { fail } from '#platform/errors/index.ts';
import {
  failureText,
  RESTORE_FAILURES,
  RestoreFailure,
  restoreFailure,
} from '../../../services/domain/operations/backups/restore-failures.ts';
import { judgeServer } from '../../../services/domain/operations/backups/restore-server.ts';
import { said } from '../../../services/domain/operations/backups/restore-tools.ts';

const facts = {
  version: 150_018,
  versionText: '15.18',
  systemIdentifier: '7',
  login: 'restorer',
  database: 'postgres',
  superuser: true,
  mayCreateDatabases: true,
  bypassesRls: true,
  missingRoles: [] as string[],
  mayBecome: ['klar_owner', 'klar_api'],
};
const demands = { manifest: { server_version: '15.10 (Debian)' }, createsDatabase: true };
const plain = { ...facts, superuser: false };

describe('a server for a restore', () => {
  const takes = (what: string, given: typeof facts, more: object = {}) =>
    it(`takes ${what}`, () => assert.deepEqual(judgeServer(given, { ...demands, ...more }), []));
  const refuses = (what: string, given: typeof facts, code: string, says: RegExp, more: object = {}) =>
    it(`refuses ${what}`, () => {
      const [finding] = judgeServer(given, { ...demands, ...more });
      assert.equal(finding?.code, code);
      assert.match(finding?.detail ?? '', says);
    });

  takes('a superuser', facts);
  takes('a superuser where the roles are still missing', { ...facts, missingRoles: ['klar_owner'] });
  takes('a login with the rights', plain);
  takes('a newer server', { ...facts, version: 180_000 });
  takes("production's own when told so", facts, { production: { identifier: '7', allowed: true } });
  takes('another server', facts, { production: { identifier: '8', allowed: false } });

  refuses("production's own", facts, 'restore_target_production', /is production's own/, {
    production: { identifier: '7', allowed: false },
  });
  refuses('an old server', { ...facts, version: 140_009 }, 'restore_target_unfit', /15 is the oldest/);
  refuses('a server older than the backup', facts, 'restore_target_unfit', /goes up, not down/, {
    manifest: { server_version: '17.2' },
  });
  refuses('a login without databases', { ...plain, mayCreateDatabases: false }, 'restore_target_unfit', /createdb/);
  refuses('a login under row level security', { ...plain, bypassesRls: false }, 'restore_target_unfit', /bypassrls/);
  refuses(
    'a login that is not the owner',
    { ...plain, mayBecome: [] },
    'restore_target_unfit',
    /grant klar_owner to restorer/,
  );
  refuses('missing roles', { ...plain, missingRoles: ['klar_api'] }, 'restore_target_unfit', /klar roles ensure/);
});

describe('failures of a restore', () => {
  it('have an exit code of their own each, that means nothing else', () => {
    const codes = Object.values(RESTORE_FAILURES).map(({ exit }) => exit);
    assert.equal(new Set(codes).size, codes.length);
    assert.ok(codes.every((code) => code >= 10 && code < 64));
  });

  it('say what to do', () => {
    for (const code of Object.keys(RESTORE_FAILURES) as (keyof typeof RESTORE_FAILURES)[]) {
      assert.match(failureText({ code, detail: 'It broke.' }), /^It broke\. [A-Zk].+\.$/);
    }
  });

  it('are known by the code of what was thrown', () => {
    assert.equal(restoreFailure(fail.unprocessable('backup_part_changed', 'x'))?.exitCode, 18);
    assert.equal(restoreFailure(fail.timeout('task_deadline', 'x'))?.code, 'restore_timed_out');
    assert.equal(restoreFailure(new RestoreFailure('proof_rls', 'x'))?.exitCode, 27);
    assert.equal(restoreFailure(new Error('SIGTERM'))?.code, 'restore_stopped');
    assert.equal(restoreFailure(fail.internal('other', 'x')), undefined);
    assert.equal(restoreFailure(new Error('x')), undefined);
  });

  it('quote no row', () => {
    const lines = [
      'pg_restore: error: could not execute query: ERROR:  duplicate key value violates unique constraint "people_email_key"',
      'DETAIL:  Key (email)=(anna@example.com) already exists.',
      'CONTEXT:  COPY people, line 3: "usr_1 anna@example.com"',
      'Command was: ALTER TABLE ONLY auth.people ...',
    ];
    assert.ok(!said(lines).includes('anna'));
    assert.match(said(lines), /^error: could not execute query: ERROR: {2}duplicate key/);
  });
});
