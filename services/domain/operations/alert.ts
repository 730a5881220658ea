import type { TaskRun } from './store/task-runs.ts';

export type TaskFailure = Pick<TaskRun, 'id' | 'task' | 'scheduled_for' | 'attempt' | 'error'>;

/** A receiver that hangs must not keep a pod whose 30 s to stop have begun. */
const TIMEOUT_MS = 5_000;

/**
 * Tells MONITOR_ALERT_WEBHOOK_URL of one failed attempt, once: `text` is what chat tools show, the rest is for programs.
 * @throws when it was not taken; the caller logs that and goes on
 */
export async function alertFailure(url: string, run: TaskFailure, timeoutMs = TIMEOUT_MS): Promise<void> {
  const tick = run.scheduled_for?.toISOString() ?? null;
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    // A redirect would carry the message to an address that nobody set.
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
    body: JSON.stringify({
      text: `Klar: task ${run.task}${tick === null ? '' : ` for ${tick}`} failed (attempt ${run.attempt}): ${run.error}`,
      event: 'task_failed',
      task: run.task,
      run_id: run.id,
      scheduled_for: tick,
      attempt: run.attempt,
      error: run.error,
    }),
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`the alert webhook answered ${response.status}`);
}
