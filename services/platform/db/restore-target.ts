import pg from 'pg';
import { connectClient } from './client.ts';
import { sqlState } from './errors.ts';
import { onDatabase } from './server-session.ts';

/** What a database that shall be restored into looks like. */
export interface RestoreTarget {
  database: string;
  exists: boolean;
  /** What is in it, e.g. `table app.orders`; a few, for the message. Empty: nothing of anybody's. */
  holds: string[];
  /** Set while a restore has begun and not ended. */
  incomplete: { backup: string; since: string } | undefined;
}

/** Kept as the database's comment, which no dump of the database carries. */
interface Mark {
  klar: 'restore';
  backup: string;
  since: string;
  /** The connection limit to give back. */
  limit: number;
}

// What an extension brought is not somebody's data; a schema other than public would be in the dump's way.
const HOLDS = `
  select what from (
    select 'schema ' || n.nspname as what, 2 as rank from pg_namespace n
     where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'public')
       and not exists (select from pg_depend d where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e')
    union all
    select 'table ' || c.oid::regclass, 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
       and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    union all
    select 'function ' || p.oid::regprocedure, 3 from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
       and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
  ) found order by rank, what limit 5`;

/** Looks at the database of a URL without changing anything. */
export async function inspectTarget(url: string): Promise<RestoreTarget> {
  const database = nameOf(url);
  return withServer(url, async (server) => {
    const { exists, mark } = await lookUp(server, database);
    if (!exists) return { database, exists, holds: [], incomplete: undefined };
    const holds = await withClient(url, async (client) =>
      (await client.query(HOLDS)).rows.map((row) => row.what as string),
    );
    return {
      database,
      exists: true,
      holds,
      incomplete: mark === undefined ? undefined : { backup: mark.backup, since: mark.since },
    };
  });
}

/**
 * Marks a database as half restored and closes it to everybody but superusers, so that neither a serving process nor a
 * migration can take it for whole. Holds until `openTarget`, across a kill.
 */
export async function closeTarget(url: string, backup: string): Promise<void> {
  const quoted = pg.escapeIdentifier(nameOf(url));
  await withServer(url, async (server) => {
    const { rows } = await server.query(
      `select datconnlimit as limit, to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as since
       from pg_database where datname = $1`,
      [nameOf(url)],
    );
    const mark: Mark = { klar: 'restore', backup, since: rows[0].since, limit: rows[0].limit };
    // One transaction: closed without the mark would be a riddle, marked and open something that --again could drop.
    await server.query(
      `comment on database ${quoted} is ${pg.escapeLiteral(JSON.stringify(mark))}; alter database ${quoted} connection limit 0`,
    );
    // Whoever is in already would stay in.
    await server.query(
      `select pg_terminate_backend(a.pid) from pg_stat_activity a join pg_roles r on r.rolname = a.usename
       where a.datname = $1 and not r.rolsuper`,
      [nameOf(url)],
    );
  });
}

/** Opens a restored database to its users again. */
export async function openTarget(url: string): Promise<void> {
  const quoted = pg.escapeIdentifier(nameOf(url));
  await withServer(url, async (server) => {
    const { mark } = await lookUp(server, nameOf(url));
    await server.query(
      `alter database ${quoted} connection limit ${Number(mark?.limit ?? -1)}; comment on database ${quoted} is null`,
    );
  });
}

/** Drops a database that a restore left half done. @throws Error when it bears no such mark */
export async function dropIncomplete(url: string): Promise<void> {
  await withServer(url, async (server) => {
    const { mark } = await lookUp(server, nameOf(url));
    if (mark === undefined) {
      throw new Error(`database ${nameOf(url)} bears no mark of an interrupted restore`);
    }
    await server.query(`drop database ${pg.escapeIdentifier(nameOf(url))} with (force)`);
  });
}

/**
 * Transaction numbers of the old server mean nothing on the new one, whose counter may be far behind: rows that wait
 * until "every older transaction is over" would wait for years. Everything restored is older than everything to come,
 * so each such column gets the oldest number there is. Then fresh statistics, without which every plan is a guess.
 */
export async function settleRestored(url: string): Promise<{ columns: string[] }> {
  return withClient(url, async (client) => {
    const { rows } = await client.query(
      `select c.oid::regclass::text as "table", quote_ident(a.attname) as "column" from pg_attribute a join pg_class c on c.oid = a.attrelid
         join pg_namespace n on n.oid = c.relnamespace
       where a.atttypid = 'xid8'::regtype and a.attnum > 0 and not a.attisdropped and c.relkind = 'r' and a.attgenerated = ''
         and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1, 2`,
    );
    for (const { table, column } of rows) await client.query(`update ${table} set ${column} = '3'`);
    await client.query('analyze');
    return { columns: rows.map(({ table, column }) => `${table}.${column}`) };
  });
}

/** Without a name in the URL the driver and libpq both take the login's. */
function nameOf(url: string): string {
  const { pathname, username } = new URL(url);
  return decodeURIComponent(pathname.slice(1) || username) || 'postgres';
}

/** A mark counts on a closed database only: one that somebody opened by hand may have been served from since. */
async function lookUp(server: pg.Client, database: string): Promise<{ exists: boolean; mark: Mark | undefined }> {
  const { rows } = await server.query(
    `select shobj_description(oid, 'pg_database') as comment, datconnlimit as limit from pg_database where datname = $1`,
    [database],
  );
  return { exists: rows.length > 0, mark: rows[0]?.limit === 0 ? markOf(rows[0].comment as string | null) : undefined };
}

function markOf(comment: string | null): Mark | undefined {
  try {
    const mark = JSON.parse(comment ?? '') as Partial<Mark> | null;
    return mark?.klar === 'restore' ? (mark as Mark) : undefined;
  } catch {
    return undefined;
  }
}

/** Beside the target, which may be missing, closed or about to be dropped. */
async function withServer<T>(url: string, fn: (client: pg.Client) => Promise<T>): Promise<T> {
  return withClient(onDatabase(url, 'postgres'), fn).catch((error) => {
    // Every server has template1; postgres may have been dropped.
    if (sqlState(error) !== '3D000') throw error;
    return withClient(onDatabase(url, 'template1'), fn);
  });
}

async function withClient<T>(url: string, fn: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connectClient(url, 'klar restore');
  try {
    return await fn(client);
  } finally {
    await client.end();
  }
}
