import type { Route } from '#platform/http/index.ts';
import { generateOpenApi } from '../../../services/api/openapi.ts';
import type { Expect } from './expectations.ts';
import { textOf } from './objects.ts';
import { PLACES, type Place, type World } from './world.ts';

/** One request of the matrix and what must come back. */
export interface Cell {
  /** Who calls, where, about what. */
  name: string;
  token?: string | undefined;
  /** `Klar-Tenant`. */
  slug?: string | undefined;
  /** What the path, body or query names; takes the place of each `:name` in the path. */
  id?: string | undefined;
  body?: unknown;
  query?: Record<string, string> | undefined;
  expect: Expect;
  /** Answers to cells with the same word must be the same bytes, but for the ids that were sent. */
  same?: string | undefined;
  /** Whose things the answer may show. */
  sees: readonly Place[];
  /** Ids that the answer must hold, and must not. */
  shows?: readonly string[];
  hides?: readonly string[];
  /** After the answer. */
  after?: (() => Promise<unknown>) | undefined;
}

/** A cell that may change something: made just before it is sent, with objects of its own. */
export interface LateCell {
  caller: string;
  make(): Promise<Cell>;
}

export interface Row {
  /** Must be refused or read only: sent at once, and afterwards nothing may have changed anywhere. */
  still: Cell[];
  /** May change the school `own`, and nothing else. */
  moving: LateCell[];
}

export interface Answer {
  status: number;
  text: string;
  headers: string;
}

/** The same for all: two answers must not even differ in it. */
const REQUEST_ID = 'the-matrix-request';
const PASSING_HEADERS = new Set(['date', 'connection', 'keep-alive', 'content-length']);

export async function send(world: World, route: Pick<Route, 'method' | 'path'>, cell: Cell): Promise<Answer> {
  const path = route.path.replace(/:[a-z_]+/g, () => encodeURIComponent(cell.id ?? ''));
  const query = cell.query === undefined ? '' : `?${new URLSearchParams(cell.query)}`;
  const response = await fetch(`${world.url}${path}${query}`, {
    method: route.method,
    headers: {
      'x-request-id': REQUEST_ID,
      ...(cell.token === undefined ? {} : { authorization: `Bearer ${cell.token}` }),
      ...(cell.slug === undefined ? {} : { 'klar-tenant': cell.slug }),
      ...(cell.body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(cell.body === undefined ? {} : { body: JSON.stringify(cell.body) }),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await response.text();
  const headers = [...response.headers].filter(([name]) => !PASSING_HEADERS.has(name)).sort();
  return { status: response.status, text, headers: JSON.stringify(headers) };
}

/** Statuses that the OpenAPI document names, by operation. */
const documented: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.values(
    (
      JSON.parse(generateOpenApi()) as {
        paths: Record<string, Record<string, { operationId: string; responses: object }>>;
      }
    ).paths,
  ).flatMap((path) =>
    Object.values(path).map(({ operationId, responses }) => [operationId, new Set(Object.keys(responses))] as const),
  ),
);

/**
 * Sends a row and says everything that is not as it must be.
 * @param watch whether to look for rows that changed, which costs more than all the rest
 */
export async function runRow(world: World, route: Route, row: Row, { watch = true } = {}): Promise<string[]> {
  const breaches: string[] = [];
  const groups = new Map<string, { name: string; bytes: string }>();
  const secrets = await secretsOf(world);

  async function examine(cell: Cell): Promise<void> {
    const answer = await send(world, route, cell);
    const wrong = (what: string) => breaches.push(`${cell.name}: ${what}: ${answer.text.slice(0, 300)}`);
    const { status, code } = cell.expect;
    const got = answer.status >= 400 ? (JSON.parse(answer.text) as { code: string }).code : undefined;
    if ((status ?? answer.status) !== answer.status || (code ?? got) !== got) {
      wrong(`${answer.status} ${got ?? ''} instead of ${status ?? ''} ${code ?? ''}`);
    }
    if (documented.get(route.id)?.has(String(answer.status)) !== true) wrong(`${answer.status} is not documented`);
    for (const [place, words] of secrets) {
      if (cell.sees.includes(place)) continue;
      const leak = words.find((word) => answer.text.includes(word) && word !== cell.id && word !== cell.slug);
      if (leak !== undefined) wrong(`shows "${leak}" of the ${place} school`);
    }
    for (const id of cell.shows ?? []) if (!answer.text.includes(id)) wrong(`does not show ${id}`);
    for (const id of cell.hides ?? []) if (answer.text.includes(id)) wrong(`shows ${id}`);
    if (cell.same !== undefined) {
      const text = cell.id === undefined ? answer.text : answer.text.replaceAll(cell.id, ':id');
      const bytes = `${answer.status} ${answer.headers} ${text}`;
      const first = groups.get(cell.same) ?? { name: cell.name, bytes };
      groups.set(cell.same, first);
      if (first.bytes !== bytes) breaches.push(`${cell.name} and ${first.name} differ: ${bytes} and ${first.bytes}`);
    }
    await cell.after?.();
  }
  const before = watch ? await checksums(world) : new Map<Place, string>();
  const changed = async (places: readonly Place[], when: string) => {
    if (!watch) return;
    const after = await checksums(world);
    for (const place of places) {
      if (before.get(place) !== after.get(place)) breaches.push(`${when} changed the ${place} school`);
    }
  };

  await inParallel(row.still, examine);
  await changed(PLACES, `a refused or reading call of ${route.id}`);
  for (const { make } of row.moving) await examine(await make());
  await changed(
    PLACES.filter((place) => place === 'other' || place === 'suspended' || place === 'blocked'),
    `a call of ${route.id}`,
  );
  return breaches;
}

async function inParallel<T>(items: readonly T[], fn: (item: T) => Promise<unknown>): Promise<void> {
  const next = items.values();
  const worker = async () => {
    for (const item of next) await fn(item);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

const tenantTables = async (world: World) =>
  (
    await world.rig.database.asSuperuser<{ name: string }>(
      `select c.oid::regclass::text as name from pg_class c
         join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
        where c.relnamespace in ('app'::regnamespace, 'routing'::regnamespace) and c.relkind in ('r', 'p') order by 1`,
    )
  ).map(({ name }) => name);

const sumsSql = new WeakMap<World, string>();

/** A hash over every row that a school has in any table. When a key was last used may change. */
async function checksums(world: World): Promise<Map<Place, string>> {
  let sql = sumsSql.get(world);
  if (sql === undefined) {
    const rows = (await tenantTables(world)).map(
      (name) => `select tenant_id, '${name}' || (to_jsonb(t) - 'last_used_at')::text as line from ${name} t`,
    );
    sql = `select tenant_id, md5(string_agg(md5(line), '' order by md5(line))) as sum
             from (${rows.join(' union all ')}) lines where tenant_id = any($1) group by tenant_id`;
    sumsSql.set(world, sql);
  }
  const ids = PLACES.map((place) => world.schools[place].id);
  const sums = await world.rig.database.asSuperuser<{ tenant_id: string; sum: string }>(sql, [ids]);
  const byId = new Map(sums.map(({ tenant_id, sum }) => [tenant_id, sum]));
  return new Map(PLACES.map((place) => [place, byId.get(world.schools[place].id) ?? '']));
}

const knownSecrets = new WeakMap<World, Promise<Map<Place, string[]>>>();

/** What only one school's rows hold: its ids, and the word in all of its texts. */
function secretsOf(world: World): Promise<Map<Place, string[]>> {
  const known = knownSecrets.get(world) ?? findSecrets(world);
  knownSecrets.set(world, known);
  return known;
}

async function findSecrets(world: World): Promise<Map<Place, string[]>> {
  const owners = new Map<string, Set<string>>();
  for (const table of (await tenantTables(world)).filter((name) => name.startsWith('app.'))) {
    const rows = await world.rig.database.asSuperuser<{ tenant_id: string; line: string }>(
      `select tenant_id, to_jsonb(t)::text as line from ${table} t`,
    );
    for (const { tenant_id, line } of rows) {
      for (const [id] of line.matchAll(/\b[a-z]{3}_[0-9a-f]{32}\b/g)) {
        owners.set(id, (owners.get(id) ?? new Set()).add(tenant_id));
      }
    }
  }
  return new Map(
    PLACES.map((place) => {
      const school = world.schools[place];
      const ids = [...owners].filter(([, of]) => of.size === 1 && of.has(school.id)).map(([id]) => id);
      return [place, [...ids, textOf(school)]];
    }),
  );
}
