import { type Statement, statement } from '#platform/db/index.ts';
import type { TestDatabase } from '../support/database.ts';

export type Course = { id: string; title: string };

const COLUMNS = 'c.id, c.title, c.description, c.status, c.created_at, c.updated_at';

/** The two reads a school's pages are made of, as `learning` writes them: one row by its key, and one page of a list. */
const READS = {
  row: (table: string) => `select ${COLUMNS} from ${table} c where c.tenant_id = $1 and c.id = $2`,
  page: (table: string) =>
    `select ${COLUMNS} from ${table} c
     where c.tenant_id = $1 and c.status = 'published' and ($2::text is null or c.id < $2) order by c.id desc limit $3`,
};
export type Read = keyof typeof READS;

const on = (name: string, table: string): Record<Read, Statement<Course>> => ({
  row: statement<Course>(`bench.${name}_row`, READS.row(table)),
  page: statement<Course>(`bench.${name}_page`, READS.page(table)),
});

/** The table with the policy, and the copy of it without. */
export const STATEMENTS = { policy: on('policy', 'app.courses'), copy: on('copy', 'bench.courses') };

export type Size = { tenants: number; coursesEach: number };

export const tenantId = (n: number) => `ten_${n.toString(16).padStart(32, '0')}`;
export const courseId = (tenant: number, n: number) => `crs_${(tenant * 1_000_000 + n).toString(16).padStart(32, '0')}`;

/** The first parameter is the tenant; the others make the read. */
export function parametersOf(read: Read, tenant: number, size: Size, random: number): [string, string | null, number?] {
  const course = courseId(tenant, Math.floor(random * size.coursesEach));
  // Every second page is the first one, as people look at them.
  return read === 'row' ? [tenantId(tenant), course] : [tenantId(tenant), random < 0.5 ? null : course, 20];
}

export async function makeCopyTable(database: TestDatabase): Promise<void> {
  for (const sql of [
    'create schema bench',
    'create table bench.courses (like app.courses including all)',
    'grant usage on schema bench to klar_api',
    'grant select on bench.courses to klar_api',
  ])
    await database.asSuperuser(sql);
}

/** Fills both tables with the same rows. */
export async function fill(database: TestDatabase, size: Size): Promise<void> {
  const { tenants, coursesEach } = size;
  await database.asSuperuser('truncate app.courses, bench.courses cascade');
  await database.asSuperuser(
    `insert into app.tenants (tenant_id, slug, name)
     select 'ten_' || lpad(to_hex(t), 32, '0'), 'school-' || t, 'School ' || t from generate_series(1, $1::int) t
     on conflict do nothing`,
    [tenants],
  );
  await database.asSuperuser(
    `insert into bench.courses (tenant_id, id, title, description, status, created_by, created_at, updated_at)
     select 'ten_' || lpad(to_hex(t), 32, '0'), 'crs_' || lpad(to_hex(t * 1000000::bigint + n), 32, '0'), 'Course ' || n,
       repeat('What is learned here. ', 6), case when n % 4 = 0 then 'draft' else 'published' end, 'usr_bench', now(), now()
     from generate_series(0, $2::int - 1) n cross join generate_series(1, $1::int) t`,
    [tenants, coursesEach],
  );
  await database.asSuperuser('insert into app.courses select * from bench.courses');
  await database.asSuperuser('vacuum (freeze, analyze) app.courses, bench.courses');
  await database.asSuperuser('checkpoint');
}
