import { flattenConditions } from './flat-conditions.ts';
import * as catalog from './schema-queries.ts';
import { statement } from './statement.ts';
import type { Db, Tx } from './types.ts';

export interface SchemaSnapshot {
  /** Everything the migrations make, and who may do what with it: the text of schema.sql. */
  schema: string;
  /** Every SECURITY DEFINER function, for the eye of a reviewer: the text of security-definer.txt. */
  securityDefiner: string;
}

// Names are written with their schema when it is not on the search path, and a role may have one of its own.
const plainPath = statement('schema.plain_path', `select set_config('search_path', 'pg_catalog', true)`);

/**
 * The database's shape as text, for comparing. It is not a dump to restore: `klar migrate` makes a database. The same
 * migrations give the same bytes on every PostgreSQL from 15 on, and a database restored from a backup too.
 */
export async function exportSchema(db: Db): Promise<SchemaSnapshot> {
  return db.withTx(
    async (tx) => {
      await tx.run(plainPath);
      const header = '-- Made by `npm run generate` from migrations/. Compared by CI; never applied.\n';
      const sections = [header, await roleSection(tx), await catalogText(tx)];
      return {
        schema: sections.filter((section) => section !== '').join('\n'),
        securityDefiner: await definerList(tx),
      };
    },
    { readOnly: true, isolation: 'repeatable read' },
  );
}

/**
 * The part of the snapshot that belongs to the database and not to its server: everything but the roles. What a dump
 * carries, so a restored copy must have the same.
 */
export async function catalogTextIn(tx: Tx): Promise<string> {
  await tx.run(plainPath);
  return catalogText(tx);
}

async function catalogText(tx: Tx): Promise<string> {
  const sections = [await schemaSection(tx), await typeSection(tx)];
  sections.push(...(await relationSections(tx)), ...(await routineSections(tx)), await bossSection(tx));
  // A restored database prints some conditions with fewer brackets, and is the same database.
  return flattenConditions(sections.filter((section) => section !== '').join('\n'));
}

const block = (title: string, lines: string[]) => (lines.length === 0 ? '' : `-- ${title}\n${lines.join('\n')}\n`);
const grantLine = (kind: string) => (grant: catalog.Grant) =>
  `grant ${grant.privileges} on ${kind}${grant.object} to ${grant.grantee};`;

async function roleSection(tx: Tx): Promise<string> {
  const rows = await tx.rows(catalog.roles);
  const lines = rows.map(({ name, attributes, member_of, settings }) => {
    const parts = [attributes, member_of === '' ? '' : `in ${member_of}`, ...[...(settings ?? [])].sort()];
    return `role ${name}: ${parts.filter((part) => part !== '').join('; ')}`;
  });
  return block('roles', lines);
}

async function schemaSection(tx: Tx): Promise<string> {
  const rows = await tx.rows(catalog.schemas);
  const grants = await tx.rows(catalog.schemaGrants);
  return block('schemas', [
    ...rows.map(({ name, owner }) => `create schema ${name} authorization ${owner};`),
    ...grants.map(grantLine('schema ')),
  ]);
}

async function typeSection(tx: Tx): Promise<string> {
  const rows = await tx.rows(catalog.types);
  return block(
    'types',
    rows.map(({ name, text }) => `type ${name}: ${text}`),
  );
}

const KINDS: Record<string, string> = {
  r: 'table',
  p: 'partitioned table',
  v: 'view',
  m: 'materialized view',
  f: 'foreign table',
  S: 'sequence',
};

async function relationSections(tx: Tx): Promise<string[]> {
  const columns = Map.groupBy(await tx.rows(catalog.columns), (row) => row.relation);
  const constraints = Map.groupBy(await tx.rows(catalog.constraints), (row) => row.relation);
  const indexes = Map.groupBy(await tx.rows(catalog.indexes), (row) => row.relation);
  const policies = Map.groupBy(await tx.rows(catalog.policies), (row) => row.relation);
  const triggers = Map.groupBy(await tx.rows(catalog.triggers), (row) => row.relation);
  const grants = Map.groupBy(
    [...(await tx.rows(catalog.relationGrants)), ...(await tx.rows(catalog.columnGrants))],
    (row) => row.object,
  );
  const texts = (rows: catalog.Part[] | undefined) => (rows ?? []).map((row) => `${row.text};`);
  return (await tx.rows(catalog.relations)).map((relation) => {
    const { name, kind, owner, rls, forced, definition } = relation;
    const body = [
      ...(columns.get(name) ?? []).map(columnLine),
      ...(constraints.get(name) ?? []).map((row) => row.text),
    ];
    const lines = [
      definition === null
        ? `create ${KINDS[kind]} ${name} (\n  ${body.join(',\n  ')}\n);`
        : `create ${KINDS[kind]} ${name} as\n${definition}`,
      ...(owner === 'klar_owner' ? [] : [`alter table ${name} owner to ${owner};`]),
      ...texts(indexes.get(name)),
      ...(rls ? [`alter table ${name} enable row level security;`] : []),
      ...(forced ? [`alter table ${name} force row level security;`] : []),
      ...texts(policies.get(name)),
      ...texts(triggers.get(name)),
      ...(grants.get(name) ?? []).map(grantLine('')),
    ];
    return block(name, lines);
  });
}

function columnLine(column: catalog.Column): string {
  const { name, type, required, default_value, identity, generated } = column;
  const value =
    default_value === null
      ? ''
      : generated === ''
        ? ` default ${default_value}`
        : ` generated always as (${default_value}) stored`;
  const counted = identity === '' ? '' : ` generated ${identity === 'a' ? 'always' : 'by default'} as identity`;
  return `${name} ${type}${required ? ' not null' : ''}${value}${counted}`;
}

async function routineSections(tx: Tx): Promise<string[]> {
  const grants = Map.groupBy(await tx.rows(catalog.routineGrants), (row) => row.object);
  return (await tx.rows(catalog.routines)).map(({ name, owner, definition }) =>
    block(name, [
      `${definition.trimEnd()};`,
      ...(owner === 'klar_owner' ? [] : [`alter function ${name} owner to ${owner};`]),
      ...(grants.get(name) ?? []).map(grantLine('function ')),
    ]),
  );
}

/** Of pg-boss's own schema only the privileges: its tables are its own affair and change with its version. */
async function bossSection(tx: Tx): Promise<string> {
  const own = (grant: catalog.Grant) => grant.object.startsWith('pgboss.');
  const relations = [...(await tx.rows(catalog.relationGrants)), ...(await tx.rows(catalog.columnGrants))].filter(own);
  const functions = (await tx.rows(catalog.routineGrants)).filter(own);
  return block('pgboss: grants', [...relations.map(grantLine('')), ...functions.map(grantLine('function '))]);
}

async function definerList(tx: Tx): Promise<string> {
  const grants = Map.groupBy(await tx.rows(catalog.routineGrants), (row) => row.object);
  const lines = (await tx.rows(catalog.routines))
    .filter((routine) => routine.definer)
    .map(({ name, owner, config }) => {
      const callers = (grants.get(name) ?? []).map((grant) => grant.grantee).join(', ');
      return `${name}\n  owner: ${owner}\n  settings: ${(config ?? ['none']).join('; ')}\n  execute: ${callers === '' ? 'nobody' : callers}`;
    });
  return `SECURITY DEFINER functions. Made by \`npm run generate\`; a new one needs a reviewer who says why.\n\n${lines.join('\n\n')}\n`;
}
