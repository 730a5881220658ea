import type { PgBoss } from 'pg-boss';
import bossPackage from 'pg-boss/package.json' with { type: 'json' };
import { type Statement, statement, type Tx } from '#platform/db/index.ts';
import { currentRequestId } from '#platform/log/index.ts';
import { type AnyQueueDef, declaredQueues, type QueueDef, queueByName } from './define.ts';
import { QUEUE_SCHEMA } from './migrate-queues.ts';
import { wake } from './wake.ts';

export interface SendOptions {
  /** With policy `short` or `exclusive`: at most one such job with this key. */
  singletonKey?: string | undefined;
  /** Not before this time. */
  startAfter?: Date | undefined;
}

/**
 * Enqueues a job in the caller's transaction: it exists if and only if the transaction commits.
 *
 * @returns the job's id, or null when the queue's policy found one with the same key
 * @throws ZodError when the payload has not the queue's shape: a bug of the caller, found before it is stored
 */
export async function send<P>(
  tx: Tx,
  queue: QueueDef<P>,
  payload: P,
  options: SendOptions = {},
): Promise<string | null> {
  const job: Job = { payload: queue.schema.parse(payload), request_id: currentRequestId() };
  const boss = await sender();
  const id = await boss.send(queue.name, job, {
    ...(options.singletonKey === undefined ? {} : { singletonKey: options.singletonKey }),
    ...(options.startAfter === undefined ? {} : { startAfter: options.startAfter }),
    db: { executeSql: async (text, values) => ({ rows: await tx.rows(insertStatement(queue.name, text), values) }) },
  });
  // The insert joins the queue's row, so a queue nobody made would swallow the job without a word.
  if (id === null && options.singletonKey === undefined)
    throw new Error(`queue ${queue.name} does not exist: run klar migrate`);
  if (id !== null && (options.startAfter?.getTime() ?? 0) <= tx.now().getTime()) tx.afterCommit(() => wake(queue.name));
  return id;
}

/** What is stored: the payload, and the request it came from, so that one id runs through the logs of both. */
export interface Job {
  payload: unknown;
  request_id: string | undefined;
}

const statements = new Map<string, Statement<never>>();

function insertStatement(queue: string, text: string): Statement<never> {
  let found = statements.get(queue);
  if (found === undefined) {
    found = statement<never>(`queue.send.${queue}`, text);
    statements.set(queue, found);
  }
  return found;
}

let starting: Promise<PgBoss> | undefined;

/**
 * A pg-boss that only writes the INSERT. It learns the queues from their declarations instead of the database, has no
 * timers and no connection, so `send` needs nothing but the transaction.
 */
function sender(): Promise<PgBoss> {
  starting ??= startSender();
  return starting;
}

async function startSender(): Promise<PgBoss> {
  // Loaded at the first job: 20 MB that a process which never enqueues does not need.
  const { PgBoss } = await import('pg-boss');
  const boss = new PgBoss({
    schema: QUEUE_SCHEMA,
    migrate: false,
    supervise: false,
    schedule: false,
    clock: {
      now: () => Date.now(),
      setTimeout: () => 0,
      clearTimeout: () => {},
      setInterval: () => 0,
      clearInterval: () => {},
    },
    db: { executeSql: async (text, values) => ({ rows: answer(text, values) as never[] }) },
  });
  return boss.start();
}

function answer(text: string, values: unknown[] | undefined): unknown[] {
  if (text.includes('to_regclass')) return [{ name: 'version' }];
  if (/^SELECT version from/.test(text)) return [{ version: bossPackage.pgboss.schema }];
  if (/^SELECT version\(\)/.test(text)) return [{ version: 'PostgreSQL' }];
  if (!text.includes(`FROM ${QUEUE_SCHEMA}.queue`))
    throw new Error(`unexpected statement outside the transaction: ${text}`);
  const names = values?.[0] as string[] | undefined;
  const queues =
    names === undefined
      ? declaredQueues()
      : names.map(queueByName).filter((queue): queue is AnyQueueDef => queue !== undefined);
  return queues.map((queue) => ({
    name: queue.name,
    policy: queue.options.policy,
    table: 'job_common',
    partition: false,
    notify: false,
  }));
}
