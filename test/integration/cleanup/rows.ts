/** For each retention rule: how a row of a given age is made, and how what is left of it is seen. */
import type { TestDatabase } from '../../support/database.ts';

export type Case = {
  table: string;
  /** Part of the rule's words, where a table has several. */
  says?: string;
  /** An interval: a row of this age is over; one that is a minute younger is not. */
  age: string;
  /** Whether it needs a school. */
  tenant: boolean;
  /** `$1` name, `$2` the time that counts, `$3` the school. */
  insert: string[];
  /** Names of rows that are still there, as the rule means it. */
  left: string;
};

export const CASES: readonly Case[] = [
  {
    table: 'app.idempotency_keys',
    age: '0',
    tenant: true,
    insert: [
      `insert into app.idempotency_keys (tenant_id, principal, operation, key, request_hash, state, owner_token, response_status, expires_at)
       values ($3, 'person:usr_1', 'test', $1, '\\x00', 'done', 'x', 201, $2)`,
    ],
    left: 'select key as name from app.idempotency_keys',
  },
  {
    table: 'app.invitations',
    age: '30 days',
    tenant: true,
    insert: [
      `insert into app.invitations (tenant_id, id, email, role, token_hash, invited_by_kind, invited_by_id, expires_at)
       values ($3, $1, $1 || '@example.com', 'student', sha256($1::bytea), 'person', 'usr_1', $2)`,
      `insert into routing.invitations (token_hash, tenant_id) select sha256($1::bytea), $3 where $2 is not null`,
    ],
    left: `select i.id as name from app.invitations i join routing.invitations r on r.token_hash = i.token_hash
           union select 'route only' from routing.invitations r where not exists (select from app.invitations i where i.token_hash = r.token_hash)`,
  },
  {
    table: 'app.api_keys',
    age: '90 days',
    tenant: true,
    insert: [
      `insert into app.api_keys (tenant_id, id, prefix, name, sealed_hash, scopes, created_by_kind, created_by_id, revoked_at)
       values ($3, $1, $1, $1, 'v1$x', '{}', 'person', 'usr_1', $2)`,
      `insert into routing.api_keys (prefix, tenant_id) select $1, $3 where $2 is not null`,
    ],
    left: `select k.id as name from app.api_keys k join routing.api_keys r on r.prefix = k.prefix
           union select 'route only' from routing.api_keys r where not exists (select from app.api_keys k where k.prefix = r.prefix)`,
  },
  {
    table: 'app.notification_deliveries',
    age: '90 days',
    tenant: true,
    insert: [
      `insert into app.notification_deliveries (tenant_id, id, dedupe_key, template, to_email, to_name, data, state, sent_at, updated_at)
       values ($3, $1, $1, 'welcome', md5($1) || '@example.com', 'N', '{"a":1}', 'sent', $2, $2)`,
    ],
    left: `select id as name from app.notification_deliveries where to_email <> 'erased@invalid' and to_name is not null and data <> '{}'`,
  },
  {
    table: 'auth.sessions',
    age: '0',
    tenant: false,
    insert: [
      `insert into auth.people (id, email, name) values ($1, md5($1) || '@example.com', 'N')`,
      `insert into auth.sessions (id, person_id, token, expires_at) values ($1, $1, $1, $2)`,
    ],
    left: 'select id as name from auth.sessions',
  },
  {
    table: 'auth.revoked_sessions',
    age: '1 minute',
    tenant: false,
    insert: ['insert into auth.revoked_sessions (session_id, until) values ($1, $2)'],
    left: 'select session_id as name from auth.revoked_sessions',
  },
  {
    table: 'auth.verifications',
    age: '0',
    tenant: false,
    insert: [`insert into auth.verifications (id, identifier, value, expires_at) values ($1, $1, $1, $2)`],
    left: 'select id as name from auth.verifications',
  },
  {
    table: 'auth.spent_codes',
    age: '0',
    tenant: false,
    insert: [
      `insert into auth.people (id, email, name) values ($1, md5($1) || '@example.com', 'N')`,
      `insert into auth.spent_codes (person_id, code_hash, expires_at) values ($1, sha256($1::bytea), $2)`,
    ],
    left: 'select person_id as name from auth.spent_codes',
  },
  {
    table: 'auth.throttles',
    age: '2 days',
    tenant: false,
    insert: [
      `insert into auth.throttles (key, failures, last_failure_at, locked_until) values (sha256($1::bytea), 1, $2, $2)`,
    ],
    left: `select n as name from unnest('{old,young}'::text[]) n join auth.throttles t on t.key = sha256(('auth.throttles ' || n)::bytea)`,
  },
  {
    table: 'inbox.events',
    says: 'payload',
    age: '180 days',
    tenant: false,
    insert: [
      `insert into inbox.events (id, provider, event_id, type, raw, received_at, verdict, state, tenant_id)
       values ($1, 'stripe', $1, 'thing.changed', '{}', $2, 'v1', 'ignored', 'ten_1')`,
    ],
    left: `select id as name from inbox.events where raw <> '' and id like 'inbox.events payload%'`,
  },
  {
    table: 'inbox.events',
    says: 'the row',
    age: '400 days',
    tenant: false,
    insert: [
      `insert into inbox.events (id, provider, event_id, type, raw, received_at, verdict, state, tenant_id, raw_dropped_at)
       values ($1, 'stripe', $1, 'thing.changed', '', $2, 'v1', 'done', 'ten_1', $2)`,
    ],
    left: `select id as name from inbox.events where id like 'inbox.events the row%'`,
  },
  {
    table: 'ops.backups',
    age: '400 days',
    tenant: false,
    insert: [
      `insert into ops.backups (id, store, started_at, snapshot_at, committed_at, bytes, schema_version, encrypted, pruned_at)
       values ($1, 'file:///x', $2, $2, $2, 1, 1, false, $2)`,
    ],
    left: 'select id as name from ops.backups where pruned_at is not null',
  },
  {
    table: 'ops.flag_sets',
    age: '400 days',
    tenant: false,
    insert: [
      `insert into ops.flag_sets (sequence, version, document, applied_at, term, changed_by)
       select coalesce(max(sequence), 0) + 1, substr(md5($1), 1, 12), '{}', $2, 1, $1 from ops.flag_sets where sequence < 1000`,
      `insert into ops.flag_sets (sequence, version, document, applied_at, term, changed_by)
       select 1000 + n, 'abcdefabcdef', '{}', $2, 1, 'newest' from generate_series(1, 10) n where $1 <> '' on conflict do nothing`,
    ],
    left: `select changed_by as name from ops.flag_sets where changed_by <> 'newest'`,
  },
  {
    table: 'ops.restore_proofs',
    age: '400 days',
    tenant: false,
    insert: [
      `insert into ops.restore_proofs (id, backup_id, started_at, finished_at, ok) values ('prf_' || $1, 'x', $2, $2, true)`,
      `insert into ops.restore_proofs (id, backup_id, started_at, finished_at, ok)
       select 'prf_last', $1, $2, now(), true on conflict do nothing`,
    ],
    left: `select replace(id, 'prf_', '') as name from ops.restore_proofs where id <> 'prf_last'`,
  },
  {
    table: 'ops.rotations',
    age: '400 days',
    tenant: false,
    insert: [
      `insert into ops.rotations (id, secret, kind, step, acted, outcome, from_generation, to_generation, soak_s, quiet_s,
         started_at, finished_at, started_by, term)
       values ('rot_' || $1, 'ADMIN_TOKEN', 'admin-token', 'verifying', true, 'done', 'a', 'b', 0, 0, $2, $2, 'test', 1)`,
      `insert into ops.rotations (id, secret, kind, step, acted, outcome, from_generation, to_generation, soak_s, quiet_s,
         started_at, finished_at, started_by, term)
       select 'rot_last', 'ADMIN_TOKEN', 'admin-token', 'verifying', true, 'done', 'a', 'b', 0, 0, now(), now(), 'test', 1
        where $1 <> '' and $2 is not null on conflict do nothing`,
    ],
    left: `select replace(id, 'rot_', '') as name from ops.rotations where id <> 'rot_last'`,
  },
  {
    table: 'ops.rotation_requests',
    age: '400 days',
    tenant: false,
    insert: [
      `insert into ops.rotation_requests (id, secret, action, requested_by, requested_at)
       values ('rrq_' || $1, 'ADMIN_TOKEN', 'rotate', 'test', $2)`,
    ],
    left: `select replace(id, 'rrq_', '') as name from ops.rotation_requests`,
  },
  {
    table: 'ops.task_runs',
    age: '400 days',
    tenant: false,
    insert: [
      `insert into ops.task_runs (id, task, status, by_hand, started_at, finished_at)
       values ('run_' || $1, 'backup', 'succeeded', true, $2, $2)`,
      `insert into ops.task_runs (id, task, status, by_hand, started_at, finished_at)
       select 'run_last', 'backup', 'succeeded', true, now(), now() where $1 <> '' and $2 is not null
       on conflict do nothing`,
    ],
    left: `select replace(id, 'run_', '') as name from ops.task_runs where id <> 'run_last' and task = 'backup'`,
  },
  {
    table: 'ops.worker_heartbeats',
    age: '1 day',
    tenant: false,
    insert: [
      'insert into ops.worker_heartbeats (worker_id, started_at, beat_at) values ($1, $2, $2)',
      `insert into ops.worker_heartbeats (worker_id, started_at, beat_at)
       select 'last', now(), now() where $1 <> '' and $2 is not null on conflict do nothing`,
    ],
    left: `select worker_id as name from ops.worker_heartbeats where worker_id <> 'last'`,
  },
];

export const nameOf = ({ table, says }: Case) => (says === undefined ? table : `${table} ${says}`);

/** One row just over and one just not, in each of the schools. */
export async function arrange(database: TestDatabase, tenants: readonly string[]): Promise<void> {
  for (const each of CASES) {
    for (const [row, extra] of [
      ['old', "+ interval '1 minute'"],
      ['young', "- interval '1 minute'"],
    ] as const) {
      const [{ at }] = (await database.asSuperuser<{ at: Date }>(
        `select now() - (interval '${each.age}' ${extra}) as at`,
      )) as [{ at: Date }];
      for (const [index, tenant] of (each.tenant ? tenants : ['']).entries()) {
        const name = `${nameOf(each)} ${row}${each.tenant ? index : ''}`;
        for (const sql of each.insert) {
          // As literals: one text as a name here and as bytes there has no single type as a parameter.
          const values: Record<string, string> = {
            $1: `'${name}'`,
            $2: `'${at.toISOString()}'::timestamptz`,
            $3: `'${tenant}'`,
          };
          await database.asSuperuser(sql.replaceAll(/\$[123]/g, (n) => values[n] ?? n));
        }
      }
    }
  }
}

/** What is still there of each case, as `old0`, `young`. */
export async function leftOf(database: TestDatabase, each: Case): Promise<string[]> {
  const rows = await database.asSuperuser<{ name: string }>(each.left);
  return rows.map(({ name }) => name.replace(`${nameOf(each)} `, '')).sort();
}
