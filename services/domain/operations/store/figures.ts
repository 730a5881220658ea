import { createHash } from 'node:crypto';
import { statement, type Tx } from '#platform/db/index.ts';

/** One table of ours with what the two sides of a backup compare. */
export interface TableFigures {
  schema: string;
  name: string;
  rows: number;
  /** Sum of the rows' hashes: the same rows give the same digest in any order. */
  digest: string;
}

/** Minor units of one currency in one column, as text: a sum may exceed what a JSON number holds. */
export interface MoneySum {
  name: string;
  currency: string;
  value: string;
}

// A row's text depends on the session: two servers, or two logins of one, would print a time differently.
const plainText = statement(
  'operations.figures_plain_text',
  `select set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, MDY', true), set_config('IntervalStyle', 'postgres', true),
     set_config('extra_float_digits', '1', true), set_config('bytea_output', 'hex', true), set_config('search_path', 'pg_catalog', true)`,
);

interface FoundTable {
  schema: string;
  name: string;
  /** Both quoted where they need it. */
  sql: string;
  /** Columns of money; empty where there is no currency beside them. */
  money: string[];
}

// Partitions are tables of their own here, as they are in a dump; a partitioned table itself has no rows.
const tables = statement<FoundTable>(
  'operations.figures_tables',
  `select n.nspname as schema, c.relname as name, format('%I.%I', n.nspname, c.relname) as sql,
     coalesce((select array_agg(a.attname::text order by a.attname collate "C") from pg_attribute a
       where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.atttypid = 'bigint'::regtype
         and exists (select from pg_attribute k where k.attrelid = c.oid and k.attname = 'currency' and not k.attisdropped)
     ), '{}') as money
   from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss') and c.relkind = 'r'
   order by n.nspname collate "C", c.relname collate "C"`,
);

/** A statement made from names in the catalog; the hash keeps two databases' texts apart under one name. */
export function madeStatement<Row>(name: string, text: string) {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 12);
  return statement<Row>(`${name}_${hash}`, text);
}

/**
 * Counts and digests of every table, and the sums of every column of money, in the snapshot of this transaction. Reads
 * each table once, past row level security when the role may.
 */
export async function readTableFigures(tx: Tx): Promise<{ tables: TableFigures[]; sums: MoneySum[] }> {
  await tx.run(plainText);
  const figures: TableFigures[] = [];
  const sums: MoneySum[] = [];
  for (const { schema, name, sql, money } of await tx.rows(tables)) {
    const { rows, digest } = await tx.one(
      madeStatement<{ rows: number; digest: string }>(
        'operations.figures_of_table',
        `select count(*) as rows, coalesce(sum(hashtextextended(klar_row::text, 0)), 0)::text as digest from ${sql} klar_row`,
      ),
    );
    figures.push({ schema, name, rows, digest });
    if (money.length > 0 && rows > 0) sums.push(...(await moneyOf(tx, schema, name, sql, money)));
  }
  return { tables: figures, sums };
}

async function moneyOf(tx: Tx, schema: string, table: string, sql: string, columns: string[]): Promise<MoneySum[]> {
  const quoted = columns.map((column) => {
    const identifier = `"${column.replaceAll('"', '""')}"`;
    return `coalesce(sum(${identifier}), 0)::text as ${identifier}`;
  });
  const rows = await tx.rows(
    madeStatement<Record<string, string>>(
      'operations.figures_money',
      `select currency, ${quoted.join(', ')} from ${sql} group by currency order by currency collate "C"`,
    ),
  );
  const of = schema === 'app' ? table : `${schema}.${table}`;
  return columns.flatMap((column) =>
    rows.map((row) => ({ name: `${of}.${column}`, currency: row.currency ?? '', value: row[column] ?? '0' })),
  );
}

const identity = statement<{ schema_version: number; system_identifier: string }>(
  'operations.figures_identity',
  // The table and not ops.schema_version(): klar_backup reads everything and executes nothing.
  `select (select coalesce(max(left(m.name, 4)::integer), 0) from ops.migrations m) as schema_version,
     (select c.system_identifier::text from pg_control_system() c) as system_identifier`,
);

/** Which schema, and which server: two databases of one server have the same system identifier. */
export function readIdentity(tx: Tx): Promise<{ schema_version: number; system_identifier: string }> {
  return tx.one(identity);
}
