import pg from 'pg';
import { connectClient } from './client.ts';
import { GROUP_ROLES, LOGIN_ROLES, OWNER_ROLE } from './role-names.ts';

/** What has to be known of a server before a backup is restored there. */
export interface ServerFacts {
  /** As `150018`. */
  version: number;
  versionText: string;
  /** Two databases of one server have the same. */
  systemIdentifier: string;
  login: string;
  database: string;
  superuser: boolean;
  mayCreateDatabases: boolean;
  bypassesRls: boolean;
  /** Of the roles that a dump of Klar gives rights to, those that this server lacks. */
  missingRoles: string[];
  /** Of the same, those that this login may become. */
  mayBecome: string[];
}

/** One connection to a server's maintenance database, for making and dropping databases beside it. */
export interface ServerSession {
  readonly facts: ServerFacts;
  /** Aborted when the connection is lost, and every claim with it. */
  readonly lost: AbortSignal;
  /**
   * Claims a database's name until this session ends, however it ends: the server frees it, so no clock and no lease
   * is needed to tell a database at work from the remains of a killed run. False when another session has it.
   */
  claim(name: string): Promise<boolean>;
  unclaim(name: string): Promise<void>;
  /** Names of databases that begin with `prefix`. */
  databases(prefix: string): Promise<string[]>;
  /** UTF8, C collation, from template0, as Klar makes its own. */
  create(name: string): Promise<void>;
  /** Ends its sessions and drops it; with a connection of its own, so that it works when this session is gone. */
  drop(name: string): Promise<void>;
  /** The URL of a database on this server. */
  url(name: string): string;
  close(): Promise<void>;
}

/** Connects to a server; the database of the URL is the one that claims live in. */
export async function openServer(url: string, appName: string): Promise<ServerSession> {
  const client = await connectClient(url, appName);
  const lost = new AbortController();
  let closing = false;
  const onLoss = () => {
    if (!closing) lost.abort(new Error('the connection to the server was lost'));
  };
  client.on('error', onLoss);
  client.on('end', onLoss);
  // A restore takes longer than a server may let a session stand idle, and the claim would go with the session.
  await client.query('set idle_session_timeout = 0');
  const facts = await readFacts(client);
  const key = (name: string) => [`klar.database.${name}`];
  return {
    facts,
    lost: lost.signal,
    claim: async (name) => {
      const { rows } = await client.query('select pg_try_advisory_lock(hashtextextended($1, 0)) as got', key(name));
      return rows[0].got as boolean;
    },
    unclaim: async (name) => {
      await client.query('select pg_advisory_unlock(hashtextextended($1, 0))', key(name));
    },
    databases: async (prefix) => {
      const { rows } = await client.query(
        'select datname from pg_database where starts_with(datname, $1) and not datistemplate order by datname',
        [prefix],
      );
      return rows.map((row) => row.datname as string);
    },
    create: async (name) => {
      const quoted = pg.escapeIdentifier(name);
      await client.query(`create database ${quoted} encoding 'UTF8' locale 'C' template template0`);
    },
    drop: async (name) => {
      const own = await connectClient(url, appName);
      try {
        await own.query(`drop database if exists ${pg.escapeIdentifier(name)} with (force)`);
      } finally {
        await own.end();
      }
    },
    url: (name) => onDatabase(url, name),
    close: async () => {
      closing = true;
      await client.end();
    },
  };
}

/** The same server and login, another database. */
export function onDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${encodeURIComponent(name)}`;
  return changed.href;
}

async function readFacts(client: pg.Client): Promise<ServerFacts> {
  const { rows } = await client.query(
    `select current_setting('server_version_num')::int as version, current_setting('server_version') as "versionText",
       (select system_identifier::text from pg_control_system()) as "systemIdentifier",
       current_user::text as login, current_database()::text as database,
       r.rolsuper as superuser, r.rolcreatedb or r.rolsuper as "mayCreateDatabases", r.rolbypassrls or r.rolsuper as "bypassesRls",
       array(select name from unnest($1::text[]) name where not exists (select from pg_roles where rolname = name)) as "missingRoles",
       array(select k.rolname::text from pg_roles k where k.rolname = any($1) and pg_has_role(r.oid, k.oid, 'MEMBER')) as "mayBecome"
     from pg_roles r where r.rolname = current_user`,
    [[OWNER_ROLE, ...GROUP_ROLES, ...LOGIN_ROLES]],
  );
  return rows[0] as ServerFacts;
}
