/** How long each table keeps what: the whole of it, as data. A table without a row here fails the build. */
import { oldFlagSets } from '#domain/flags/index.ts';
import { oldDeliveries } from '#domain/notifications/index.ts';
import { oldBackupRows, oldRestoreProofs, oldTaskRuns } from '#domain/operations/index.ts';
import { oldRotationRequests, oldRotations } from '#domain/secrets/index.ts';
import { oldInvitations, revokedApiKeys } from '#domain/tenancy/index.ts';
import { oldEvents, oldHeartbeats, oldPayloads } from '#domain/webhooks/index.ts';
import type { TenantTx, Tx } from '#platform/db/index.ts';
import { expiredIdempotencyKeys } from '#platform/http/store.ts';
import { expiredAuth } from './store.ts';

/** One statement's worth of work. `found` below the limit means that nothing is left. */
export type Batch = { found: number; purged: number };

type Purge<T extends Tx> = { purge(tx: T, limit: number): Promise<Batch>; count(tx: T): Promise<number> };

export type Rule = {
  /** What goes, and when, in words. */
  says: string;
} & ({ scope: 'tenant'; rows: Purge<TenantTx> } | { scope: 'system'; rows: Purge<Tx> });

/** Either rules, or the reason why nothing of the table is deleted by age. */
export type Retention = { rules: readonly Rule[] } | { keep: string };

const tenant = (says: string, rows: Purge<TenantTx>): Rule => ({ scope: 'tenant', says, rows });
const system = (says: string, rows: Purge<Tx>): Rule => ({ scope: 'system', says, rows });

// Bookkeeping: seven years after the year (Bokföringslagen 1999:1078, 7 kap. 2 §), and as long as a school may be asked.
const BOOKS = 'bookkeeping: what was sold and paid is kept at least seven years';
const SCHOOL = "the school's own content and members: the school deletes it, age does not";
const PERSON = 'belongs to a person: goes with the person (erasure), not by age';

/** Days. Change a number here, and nowhere else (migration 0101 holds floors for the inbox). */
const DAYS = {
  invitation: 30,
  revokedKey: 90,
  delivery: 90,
  // Payments are recovered by replaying stored events: two quarters, longer than a dispute may be open.
  payload: 180,
  // The row alone tells a repetition from a new event; no provider repeats one after a year.
  event: 400,
  heartbeat: 1,
  // Who turned what: as long as the runs of tasks.
  flagSet: 400,
  // A year and a month: this year's runs beside last year's.
  taskRun: 400,
} as const;

export const RETENTION: Readonly<Record<string, Retention>> = {
  'app.api_keys': { rules: [tenant(`revoked ${DAYS.revokedKey} days ago`, revokedApiKeys(DAYS.revokedKey))] },
  'app.audit_pending': { keep: 'the audit log: append-only, no role may delete' },
  'app.courses': { keep: SCHOOL },
  'app.enrollments': { keep: SCHOOL },
  'app.fulfilments': { keep: BOOKS },
  'app.idempotency_keys': { rules: [tenant('72 h after the request', expiredIdempotencyKeys)] },
  'app.invitations': {
    rules: [tenant(`${DAYS.invitation} days after the link ended`, oldInvitations(DAYS.invitation))],
  },
  'app.lesson_progress': { keep: SCHOOL },
  'app.lessons': { keep: SCHOOL },
  'app.memberships': { keep: SCHOOL },
  'app.notification_deliveries': {
    rules: [
      tenant(
        `address and variables ${DAYS.delivery} days after sending; the row keeps its dedupe key`,
        oldDeliveries(DAYS.delivery),
      ),
    ],
  },
  'app.order_lines': { keep: BOOKS },
  'app.orders': { keep: BOOKS },
  'app.payment_attempts': { keep: BOOKS },
  'app.payment_incidents': { keep: BOOKS },
  'app.payments': { keep: BOOKS },
  'app.prices': { keep: BOOKS },
  'app.provider_customers': { keep: 'needed for as long as refunds and disputes of the customer may come' },
  'app.refunds': { keep: BOOKS },
  'app.services': { keep: SCHOOL },
  'app.tenants': { keep: 'a school is closed, never deleted by age: its books name it' },

  'auth.accounts': { keep: PERSON },
  'auth.outbox': { keep: 'a queue: a row goes when it is handed over, and must not go before' },
  'auth.people': { keep: PERSON },
  'auth.revoked_sessions': {
    rules: [system('a minute after the last access token died', expiredAuth('revoked_sessions'))],
  },
  'auth.session_families': { keep: 'goes with its session (foreign key)' },
  'auth.sessions': { rules: [system('when expired', expiredAuth('sessions'))] },
  'auth.spent_codes': { rules: [system('when the code would not be accepted any more', expiredAuth('spent_codes'))] },
  'auth.throttles': { rules: [system('2 days after the last failure, locks over', expiredAuth('throttles'))] },
  'auth.two_factors': { keep: PERSON },
  'auth.verifications': { rules: [system('when expired', expiredAuth('verifications'))] },

  'inbox.endpoints': { keep: 'a few rows, one an endpoint that exists' },
  'inbox.events': {
    rules: [
      system(`payload ${DAYS.payload} days after receipt, once done, ignored or unmatched`, oldPayloads(DAYS.payload)),
      system(`the row ${DAYS.event} days after receipt, once its payload is gone`, oldEvents(DAYS.event)),
    ],
  },

  'ops.backups': { rules: [system(`${DAYS.taskRun} days after it was pruned`, oldBackupRows(DAYS.taskRun))] },
  'ops.controller_terms': { keep: 'one row a lease: without it an old leader could write again' },
  'ops.flag_sets': {
    rules: [system(`${DAYS.flagSet} days after it was applied, but the newest ten`, oldFlagSets(DAYS.flagSet))],
  },
  'ops.migration_checksums': { keep: 'compared at every migration' },
  'ops.migrations': { keep: 'says which schema this is' },
  'ops.platform_admins': { keep: 'who administers the platform now; revoking deletes' },
  'ops.restore_proofs': {
    rules: [system(`${DAYS.taskRun} days, but what is newer than the last good one`, oldRestoreProofs(DAYS.taskRun))],
  },
  'ops.rotation_requests': {
    rules: [system(`${DAYS.taskRun} days after it was asked`, oldRotationRequests(DAYS.taskRun))],
  },
  'ops.rotation_steps': { keep: 'goes with its rotation (foreign key)' },
  'ops.rotations': {
    rules: [system(`${DAYS.taskRun} days after the end, but the last of each secret`, oldRotations(DAYS.taskRun))],
  },
  'ops.secret_states': { keep: 'one row a secret that exists' },
  'ops.task_runs': {
    rules: [system(`${DAYS.taskRun} days after the end, but the last success of each task`, oldTaskRuns(DAYS.taskRun))],
  },
  'ops.worker_heartbeats': {
    rules: [system(`${DAYS.heartbeat} day of silence, but the newest`, oldHeartbeats(DAYS.heartbeat))],
  },

  'routing.api_keys': { keep: 'goes with its row in app.api_keys, in one statement' },
  'routing.invitations': { keep: 'goes with its row in app.invitations, in one statement' },
  'routing.person_tenants': { keep: 'goes with the membership' },
  'routing.provider_objects': { keep: 'finds the school of a refund or dispute that comes a year later' },
  'routing.tenants': { keep: 'a slug is never given to another school' },

  // Its tables are pg-boss's own, one partition a queue; its names differ between versions.
  'pgboss.*': { keep: 'pg-boss deletes: settled jobs after 3 days, dead letters after 90 (platform/queue/define.ts)' },
};

/** The row for a table of the catalog (`schema.name`). */
export function retentionOf(table: string): Retention | undefined {
  return RETENTION[table] ?? RETENTION[`${table.split('.')[0]}.*`];
}
