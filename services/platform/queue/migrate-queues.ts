import type { PgBoss, Queue } from 'pg-boss';
import type { MigrationClient } from '#platform/db/setup.ts';
import { type AnyQueueDef, DEAD_LETTER_RETENTION_S } from './define.ts';

/** Schema of pg-boss, made and owned by the migration step. */
export const QUEUE_SCHEMA = 'pgboss';

/**
 * What each role may do with the queue. `klar_api` only enqueues: it reads the queue list and the id of what it
 * inserted and the states it counts, never a payload. A worker fetches, settles and deletes. Operators look.
 */
const GRANTS = `
  grant select on pgboss.version, pgboss.queue to klar_api, klar_worker, klar_ops;
  grant insert on pgboss.job, pgboss.job_common to klar_api;
  grant select (id, name, state, start_after) on pgboss.job, pgboss.job_common to klar_api;
  grant execute on function pgboss.job_now() to klar_api, klar_worker, klar_ops;
  grant select, insert, update, delete on all tables in schema pgboss to klar_worker;
  grant select on all tables in schema pgboss to klar_ops;
`;

/**
 * The step of `klar migrate` for the queue: pg-boss's tables at the version this build needs, every declared queue
 * with its dead letter queue and current options, and the grants. Services run with `migrate: false`.
 */
export function queueMigration(queues: readonly AnyQueueDef[]): (client: MigrationClient) => Promise<void> {
  return async (client) => {
    const { PgBoss } = await import('pg-boss');
    const boss = new PgBoss({
      schema: QUEUE_SCHEMA,
      createSchema: false,
      migrate: true,
      supervise: false,
      schedule: false,
      db: { executeSql: async (text, values) => lastResult(await client.query(text, values)) },
    });
    const errors: unknown[] = [];
    boss.on('error', (error) => errors.push(error));
    await boss.start();
    try {
      for (const queue of queues) {
        await ensureQueue(boss, queue.deadLetter, {
          retryLimit: 0,
          retentionSeconds: DEAD_LETTER_RETENTION_S,
          deleteAfterSeconds: DEAD_LETTER_RETENTION_S,
        });
        await ensureQueue(boss, queue.name, bossOptions(queue));
      }
    } finally {
      await boss.stop({ graceful: false, close: false });
    }
    if (errors.length > 0) throw errors[0];
    await client.query(GRANTS);
  };
}

function bossOptions({ options, deadLetter }: AnyQueueDef): Omit<Queue, 'name'> {
  return {
    policy: options.policy,
    deadLetter,
    retryLimit: options.retryLimit,
    retryDelay: options.retryDelayS,
    retryBackoff: true,
    retryDelayMax: options.retryDelayMaxS,
    expireInSeconds: options.expireInS,
    heartbeatSeconds: options.heartbeatS,
    retentionSeconds: options.retentionS,
    deleteAfterSeconds: options.deleteAfterS,
  };
}

async function ensureQueue(boss: PgBoss, name: string, options: Omit<Queue, 'name'>): Promise<void> {
  const found = await boss.getQueue(name);
  if (found === null) return boss.createQueue(name, options);
  const { policy, ...changeable } = options;
  if (policy !== undefined && found.policy !== policy)
    throw new Error(`queue ${name}: a policy cannot be changed, make a new queue`);
  const known = found as unknown as Record<string, unknown>;
  const differs = Object.entries(changeable).some(([key, value]) => (known[key] ?? null) !== value);
  if (differs) await boss.updateQueue(name, changeable);
}

/** Several statements in one text give several results; pg-boss expects the last one's rows. */
function lastResult(result: unknown): { rows: never[] } {
  return (Array.isArray(result) ? (result.at(-1) ?? { rows: [] }) : result) as { rows: never[] };
}
