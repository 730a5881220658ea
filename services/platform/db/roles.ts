import type pg from 'pg';
import { connectClient } from './client.ts';
import { sqlState } from './errors.ts';
import {
  GROUP_ROLES,
  type GroupRole,
  LOGIN_ROLES,
  type LoginRole,
  OWNER_ROLE,
  ROTATED_LOGINS,
  ROTATOR_ROLE,
} from './role-names.ts';
import { ensureRotatorFunctions } from './rotator-functions.ts';
import { matchesVerifier, scramVerifier } from './scram.ts';

export interface EnsureRolesInput {
  /** A superuser's direct connection to the database that will hold Klar. */
  superuserUrl: string;
  /** Passwords to set, by login role. A login without one keeps what it has (none at first: it cannot log in). */
  passwords?: Partial<Record<LoginRole, string>> | undefined;
  log?: ((message: string) => void) | undefined;
}

/**
 * Session settings live on the login role and not in the connection string: PgBouncer in transaction mode refuses
 * unknown startup parameters, and serving code must not depend on anything a session remembers.
 * statement_timeout stays below the client's own answer timeout (the processes say theirs), so that the server speaks first;
 * and where a person waits, both stay below the 10 s after which people and proxies give up.
 */
const SERVING = {
  statement_timeout: '6s',
  lock_timeout: '5s',
  idle_in_transaction_session_timeout: '30s',
  search_path: 'pg_catalog',
};
const WORKING = { ...SERVING, statement_timeout: '25s' };
const SETTINGS: Record<GroupRole, Record<string, string>> = {
  klar_api: SERVING,
  // better-auth names its tables without a schema.
  klar_auth: { ...SERVING, search_path: 'auth' },
  klar_ingest: { ...SERVING, statement_timeout: '5s' },
  klar_worker: WORKING,
  klar_controller: { ...SERVING, statement_timeout: '15s' },
  klar_migrator: {},
  klar_backup: { default_transaction_read_only: 'on' },
  klar_restore: {},
  klar_cleanup: WORKING,
  klar_ops: WORKING,
};

const ATTEMPTS = 6;

/**
 * Makes the roles and what belongs to the database rather than to a schema. Safe to run again and by several at once.
 * Returns what it changed, empty when everything was as it should be.
 */
export async function ensureRoles(input: EnsureRolesInput): Promise<{ changes: string[] }> {
  for (let attempt = 1; ; attempt += 1) {
    const client = await connectClient(input.superuserUrl, 'klar roles');
    try {
      await client.query('BEGIN');
      const changes = await ensure(client, input.passwords ?? {});
      await client.query('COMMIT');
      for (const change of changes) input.log?.(change);
      return { changes };
    } catch (error) {
      await client.query('ROLLBACK').catch(() => {});
      // Roles belong to the cluster and advisory locks to a database: two databases prepared at once can still meet.
      const met = /^(XX000|23505|42710)$/.test(sqlState(error) ?? '');
      if (!met || attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50 * attempt * (0.5 + Math.random())));
    } finally {
      await client.end();
    }
  }
}

async function ensure(client: pg.Client, passwords: Partial<Record<LoginRole, string>>): Promise<string[]> {
  await client.query(`select pg_advisory_xact_lock(hashtext('klar.roles'))`);
  const changes: string[] = [];
  const change = async (sql: string, label = sql) => {
    await client.query(sql);
    changes.push(label);
  };
  await ensureAttributes(client, change);
  await ensureMemberships(client, change);
  await ensureSettings(client, change);
  await ensurePasswords(client, passwords, change);
  await ensureDatabase(client, change);
  return changes;
}

type Change = (sql: string, label?: string) => Promise<void>;

async function ensureAttributes(client: pg.Client, change: Change): Promise<void> {
  const { rows } = await client.query(
    `select rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolinherit
     from pg_roles where rolname like 'klar\\_%'`,
  );
  const found = new Map(rows.map((row) => [row.rolname as string, row]));
  for (const role of [OWNER_ROLE, ROTATOR_ROLE, ...GROUP_ROLES, ...LOGIN_ROLES]) {
    const login = (LOGIN_ROLES as string[]).includes(role);
    // BYPASSRLS is not inherited, and pg_dump refuses to run under FORCE ROW LEVEL SECURITY.
    const bypass = role.startsWith('klar_backup');
    const creates = role === ROTATOR_ROLE;
    const wanted =
      `${login ? 'login' : 'nologin'} nosuperuser nocreatedb ${creates ? 'createrole' : 'nocreaterole'} noreplication inherit ` +
      `${bypass ? 'bypassrls' : 'nobypassrls'}`;
    const row = found.get(role);
    if (row === undefined) await change(`create role ${role} ${wanted}`);
    else if (
      row.rolcanlogin !== login ||
      row.rolbypassrls !== bypass ||
      row.rolsuper ||
      row.rolcreatedb ||
      row.rolcreaterole !== creates ||
      row.rolreplication ||
      !row.rolinherit
    ) {
      await change(`alter role ${role} ${wanted}`);
    }
  }
}

async function ensureMemberships(client: pg.Client, change: Change): Promise<void> {
  const { rows } = await client.query(
    `select g.rolname as of, m.rolname as member from pg_auth_members
     join pg_roles g on g.oid = roleid join pg_roles m on m.oid = member`,
  );
  const found = new Set(rows.map((row) => `${row.of} ${row.member}`));
  const wanted: [string, string][] = [
    ...LOGIN_ROLES.map((login): [string, string] => [login.slice(0, -2), login]),
    [OWNER_ROLE, 'klar_migrator'],
    ['pg_read_all_data', 'klar_backup'],
    ['pg_signal_backend', ROTATOR_ROLE],
  ];
  for (const [group, member] of wanted) {
    if (!found.has(`${group} ${member}`)) await change(`grant ${group} to ${member}`);
  }
  await ensureRotator(client, change);
}

async function ensureRotator(client: pg.Client, change: Change): Promise<void> {
  const { rows } = await client.query(`select current_setting('server_version_num')::int as version`);
  // Since PostgreSQL 16 CREATEROLE reaches only the roles that one administers; before, every role but superusers.
  if (rows[0].version >= 160_000) {
    const found = await client.query(
      `select g.rolname as of from pg_auth_members a
       join pg_roles g on g.oid = a.roleid join pg_roles m on m.oid = a.member
       where m.rolname = $1 and a.admin_option and not a.inherit_option and not a.set_option`,
      [ROTATOR_ROLE],
    );
    const administered = new Set(found.rows.map((row) => row.of as string));
    for (const login of ROTATED_LOGINS) {
      if (administered.has(login)) continue;
      await change(`grant ${login} to ${ROTATOR_ROLE} with admin true, inherit false, set false`);
    }
  }
  await ensureRotatorFunctions(client, change);
}

async function ensureSettings(client: pg.Client, change: Change): Promise<void> {
  const { rows } = await client.query(
    `select r.rolname, s.setconfig from pg_db_role_setting s join pg_roles r on r.oid = s.setrole where s.setdatabase = 0`,
  );
  const found = new Map(rows.map((row) => [row.rolname as string, new Set(row.setconfig as string[])]));
  for (const login of LOGIN_ROLES) {
    for (const [name, value] of Object.entries(SETTINGS[login.slice(0, -2) as GroupRole])) {
      if (!found.get(login)?.has(`${name}=${value}`)) await change(`alter role ${login} set ${name} = '${value}'`);
    }
  }
}

async function ensurePasswords(
  client: pg.Client,
  passwords: Partial<Record<LoginRole, string>>,
  change: Change,
): Promise<void> {
  const { rows } = await client.query('select rolname, rolpassword from pg_authid where rolname = any($1)', [
    LOGIN_ROLES,
  ]);
  const found = new Map(rows.map((row) => [row.rolname as string, row.rolpassword as string | null]));
  for (const login of LOGIN_ROLES) {
    const password = passwords[login];
    if (password === undefined || matchesVerifier(password, found.get(login) ?? '')) continue;
    // A verifier and not the password: the statement may be in the server's log.
    await change(`alter role ${login} password '${scramVerifier(password)}'`, `alter role ${login} password ...`);
  }
}

async function ensureDatabase(client: pg.Client, change: Change): Promise<void> {
  const { rows } = await client.query(
    `select format('%I', current_database()) as name,
       has_database_privilege('${OWNER_ROLE}', current_database(), 'CREATE') as owner_creates,
       exists (select from aclexplode(coalesce(datacl, acldefault('d', datdba))) where grantee = 0) as public_connects,
       (select bool_and(has_database_privilege(g, current_database(), 'CONNECT')) from unnest($1::text[]) g) as all_connect
     from pg_database where datname = current_database()`,
    [GROUP_ROLES],
  );
  const { name, owner_creates, public_connects, all_connect } = rows[0];
  if (public_connects) await change(`revoke all on database ${name} from public`);
  if (public_connects || !all_connect) await change(`grant connect on database ${name} to ${GROUP_ROLES.join(', ')}`);
  if (!owner_creates) await change(`grant create on database ${name} to ${OWNER_ROLE}`);
  const open = await client.query(
    `select from pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) where nspname = 'public' and grantee = 0`,
  );
  if (open.rowCount) await change('revoke all on schema public from public');
}
