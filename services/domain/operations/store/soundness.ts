import { statement, type Tx } from '#platform/db/index.ts';
import { madeStatement } from './figures.ts';

const unsound = statement<{ object: string; what: string }>(
  'operations.soundness_constraints',
  `select format('%s of %s', k.conname, k.conrelid::regclass) as object, 'is not validated' as what
   from pg_constraint k join pg_namespace n on n.oid = k.connamespace
   where n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss') and not k.convalidated
   union all
   select i.indexrelid::regclass::text, 'is an index that is not valid' from pg_index i join pg_class c on c.oid = i.indexrelid
     join pg_namespace n on n.oid = c.relnamespace
   where n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss') and not (i.indisvalid and i.indisready)
   order by 1`,
);
const constraintCount = statement<{ count: number }>(
  'operations.soundness_count',
  `select count(*) as count from pg_constraint k join pg_namespace n on n.oid = k.connamespace
   where n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss') and k.contype in ('p', 'u', 'f', 'c', 'x')`,
);

/** Constraints and indexes that do not hold for every row. Loading the dump has checked all the others. */
export async function readUnsound(
  tx: Tx,
): Promise<{ constraints: number; unsound: { object: string; what: string }[] }> {
  const found = await tx.rows(unsound);
  return { constraints: (await tx.one(constraintCount)).count, unsound: found };
}

interface Counter {
  sequence: string;
  table: string;
  column: string;
}

const counters = statement<Counter>(
  'operations.soundness_counters',
  `select format('%I.%I', sn.nspname, s.relname) as sequence, format('%I.%I', n.nspname, c.relname) as "table", quote_ident(a.attname) as "column"
   from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S' join pg_namespace sn on sn.oid = s.relnamespace
     join pg_class c on c.oid = d.refobjid join pg_namespace n on n.oid = c.relnamespace
     join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid
   where d.classid = 'pg_class'::regclass and d.deptype in ('a', 'i')
     and n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss')
   order by 1`,
);

/** Sequences whose next value is in use already: the next insert would collide. */
export async function readBehind(tx: Tx): Promise<{ sequences: number; behind: string[] }> {
  const found = await tx.rows(counters);
  const behind: string[] = [];
  for (const { sequence, table, column } of found) {
    const { late } = await tx.one(
      madeStatement<{ late: boolean }>(
        'operations.soundness_behind',
        `select coalesce((select max(klar_row.${column}) from ${table} klar_row) >= s.last_value + s.is_called::int, false) as late from ${sequence} s`,
      ),
    );
    if (late) behind.push(sequence);
  }
  return { sequences: found.length, behind };
}
