import assert from 'node:assert/strict';
import { fixedSecret } from '#platform/config/index.ts';
import { directUrl } from '../../../services/cli/commands/direct-url.ts';

const secret = (value: string) => fixedSecret('DATABASE_URL', value);
const direct = secret('postgres://klar_migrator_a:m@db.internal:5432/klar?sslmode=verify-full');
const own = secret('postgres://klar_backup_b:p%40ss@pgbouncer:6432/klar');

describe('a URL past PgBouncer', () => {
  it('has the place of one and the login of the other', () =>
    assert.equal(directUrl(direct, own), 'postgres://klar_backup_b:p%40ss@db.internal:5432/klar?sslmode=verify-full'));
  it('takes the login from the query, where the driver looks first', () => {
    const inQuery = secret('postgres://pgbouncer:6432/klar?user=klar_backup_b&password=p%40ss');
    assert.equal(
      directUrl(direct, inQuery),
      'postgres://db.internal:5432/klar?sslmode=verify-full&user=klar_backup_b&password=p%40ss',
    );
    const directInQuery = secret('postgres://db.internal:5432/klar?user=klar_migrator_a&password=m');
    assert.equal(directUrl(directInQuery, own), 'postgres://klar_backup_b:p%40ss@db.internal:5432/klar');
  });
  it('is the one that is set', () => {
    assert.equal(directUrl(direct, undefined), direct.current());
    assert.equal(directUrl(undefined, own), own.current());
    assert.equal(directUrl(undefined, undefined), undefined);
  });
});
