import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { fail } from '#platform/errors/index.ts';
import { EXIT } from '../../../services/cli/command.ts';
import { runCli } from '../../../services/cli/main.ts';

const coded = (code: string, message: string) => Object.assign(new Error(message), { code });

async function told(error: Error): Promise<{ code: number; error: { code: string; detail: string } }> {
  let text = '';
  const stderr = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  const command = {
    async run() {
      throw error;
    },
  };
  const commands = [{ name: 'break', summary: 'Breaks', load: async () => command }];
  const code = await runCli({ argv: ['break', '--json'], env: {}, stdout: stderr, stderr, commands });
  return { code, error: JSON.parse(text).error };
}

describe('klar without its database', () => {
  const cases: [string, string, string, RegExp][] = [
    ['ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:1', 'database_unreachable', /Is it running\?/],
    ['ENOTFOUND', 'getaddrinfo ENOTFOUND db.internal', 'database_unreachable', /ENOTFOUND db\.internal.*Mend the host/],
    ['EAI_AGAIN', 'getaddrinfo EAI_AGAIN db', 'database_unreachable', /name server.*DNS/],
    ['ETIMEDOUT', 'connect ETIMEDOUT 10.0.0.1:5432', 'database_unreachable', /drops the packets.*NetworkPolicies/],
    ['EHOSTUNREACH', 'connect EHOSTUNREACH 10.0.0.1:5432', 'database_unreachable', /no way.*NetworkPolicy/],
    ['ENETUNREACH', 'connect ENETUNREACH 10.0.0.1:5432', 'database_unreachable', /no way/],
    ['28P01', 'password authentication failed for user "u"', 'database_login_refused', /klar roles ensure/],
    ['28000', 'no pg_hba.conf entry', 'database_login_refused', /pg_hba/],
    ['3D000', 'database "klar" does not exist', 'database_missing', /create database klar.*klar migrate/],
  ];
  for (const [code, message, expected, mend] of cases) {
    it(`says what ${code} means and what mends it, from the driver or from the pool`, async () => {
      const away = fail.unavailable('database_unavailable', 'The database does not answer; try again shortly.', 2);
      Object.defineProperty(away, 'cause', { value: coded(code, message) });
      for (const error of [coded(code, message), away]) {
        const answer = await told(error);
        assert.deepEqual([answer.code, answer.error.code], [EXIT.failed, expected]);
        assert.match(answer.error.detail, mend);
        assert.ok(answer.error.detail.includes(message));
      }
    });
  }

  it('says it of a host with several addresses, whose error has no words of its own', async () => {
    const all = new AggregateError([coded('ECONNREFUSED', 'connect ECONNREFUSED ::1:5432')], '');
    const { error } = await told(Object.assign(all, { code: 'ECONNREFUSED' }));
    assert.match(error.detail, /connect ECONNREFUSED ::1:5432/);
  });

  it('leaves other errors, and those with an exit code, as they are', async () => {
    const busy = fail.unavailable('database_busy', 'All database connections are in use; try again shortly.', 1);
    assert.equal((await told(busy)).error.code, 'database_busy');
    const own = Object.assign(fail.unavailable('restore_target_unreachable', 'No.', 1), { exitCode: 45 });
    Object.defineProperty(own, 'cause', { value: coded('ETIMEDOUT', 'x') });
    assert.deepEqual([(await told(own)).code, (await told(own)).error.code], [45, 'restore_target_unreachable']);
    assert.equal((await told(coded('23505', 'duplicate key'))).error.code, 'internal');
  });
});
