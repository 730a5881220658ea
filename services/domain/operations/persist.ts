import type { Db } from '#platform/db/index.ts';
import { fail, KlarError } from '#platform/errors/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { RunId, TaskRun } from './store/task-runs.ts';
import * as store from './store/task-runs.ts';

const MAX_DETAIL_BYTES = 60_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

export type End = { status: 'succeeded' | 'failed'; detail: Record<string, unknown>; error: string | null };

/**
 * Writes how a run ended, again and again while the database is away: work that is done must not look undone.
 * @throws the last error when it could not be written until then; the row is then taken over by its lease
 */
export async function persist(input: {
  db: Db;
  log: Logger;
  id: RunId;
  end: End;
  /** By performance.now(). */
  until: number;
  /** When the process is told to stop, only the last word's time is left. */
  signal: AbortSignal;
  lastWordMs: number;
}): Promise<TaskRun> {
  const { db, log, id } = input;
  const end = { ...input.end, detail: storable(input.end.detail) };
  let until = input.until;
  const hurry = () => {
    until = Math.min(until, performance.now() + input.lastWordMs);
  };
  input.signal.addEventListener('abort', hurry, { once: true });
  try {
    for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(LONGEST_PAUSE_MS, wait * 2)) {
      try {
        const run = await db.withTx(async (tx) => {
          const written = await store.finish(tx, id, end);
          if (written !== undefined) return written;
          // Written by an attempt whose answer was lost?
          const row = await store.read(tx, id.id);
          return row?.runner === id.runner && row.status === end.status ? row : undefined;
        });
        if (run !== undefined) return run;
        throw fail.conflict('task_run_lost', 'Another process had taken this run over before its end was written.');
      } catch (error) {
        const passing = error instanceof KlarError && error.kind === 'unavailable';
        if (!passing || performance.now() + wait > until) throw error;
        log.warn('the end of the task could not be written, trying again', { run: id.id, status: end.status, error });
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  } finally {
    input.signal.removeEventListener('abort', hurry);
  }
}

/** A detail that the database would not take must not turn a success into a failure. */
function storable(detail: Record<string, unknown>): Record<string, unknown> {
  try {
    // jsonb takes no zero byte and no half of a surrogate pair.
    const text = JSON.stringify(detail, (_key, value) =>
      typeof value === 'string' ? value.replaceAll('\0', '').toWellFormed() : value,
    );
    return Buffer.byteLength(text) > MAX_DETAIL_BYTES ? { left_out: 'the detail was too large' } : JSON.parse(text);
  } catch {
    return { left_out: 'the detail was no JSON' };
  }
}
