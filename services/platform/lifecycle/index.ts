import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '#platform/log/index.ts';
import { onSignals } from './signals.ts';

export { runMain } from './run-main.ts';
export { onSignals } from './signals.ts';

/** The order of a stop; everything of a group runs in parallel, a group begins when the one before it is through. */
export const STOP_GROUPS = ['ready', 'listen', 'drain', 'work', 'pools', 'flush'] as const;
export type StopGroup = (typeof STOP_GROUPS)[number];

export type CheckResult = { ok: boolean; detail?: string | undefined };
/** `stays`: a failed check that takes nobody out of the endpoints, as it fails in every replica at once. */
export type Check = CheckResult & { stays?: boolean };
/** `routed`: whether requests are to be sent here; true without `ok` when this process can still say what is wrong. */
export type Readiness = { ok: boolean; routed: boolean; checks: Record<string, CheckResult> };

export type Lifecycle = {
  /** Adds a readiness check; it must answer quickly and never report load, only "cannot serve". */
  ready(name: string, check: () => Check | boolean | Promise<Check | boolean>): void;
  readiness(): Promise<Readiness>;
  onStop(group: StopGroup, name: string, fn: () => unknown): void;
  /** Runs once; later calls get the same promise. Never rejects: a step that fails is logged and the next goes on. */
  stop(reason: string): Promise<void>;
  /** Aborts when a stop begins: loops take no new work. What runs already is finished in its group. */
  readonly stopping: AbortSignal;
  /** SIGTERM and SIGINT stop the process, then exit 0; a second signal exits at once. */
  handleSignals(): void;
};

/** Kubernetes kills 30 s after SIGTERM: one hung step must leave time for the pools to close behind it. */
const STEP_TIMEOUT_MS = 20_000;
const CHECK_TIMEOUT_MS = 1_000;

/**
 * @param delayMs how long to go on serving after readiness turned false: the time a cluster needs to take the pod
 *   out of its endpoints. Connections sent in that time would otherwise be refused.
 */
export function createLifecycle(input: { log: Logger; delayMs?: number; stepTimeoutMs?: number }): Lifecycle {
  const { log } = input;
  const checks = new Map<string, () => Check | boolean | Promise<Check | boolean>>();
  const steps: { group: StopGroup; name: string; fn: () => unknown }[] = [];
  const controller = new AbortController();
  let stopped: Promise<void> | undefined;

  async function runStep(step: (typeof steps)[number]): Promise<void> {
    const timer = new AbortController();
    try {
      const late = delay(input.stepTimeoutMs ?? STEP_TIMEOUT_MS, 'late', { signal: timer.signal }).catch(() => 'done');
      const outcome = await Promise.race([(async () => step.fn())(), late]);
      if (outcome === 'late') log.warn('stop step took too long', { group: step.group, step: step.name });
    } catch (error) {
      log.error('stop step failed', { group: step.group, step: step.name, error });
    } finally {
      timer.abort();
    }
  }

  async function run(reason: string): Promise<void> {
    log.info('stopping', { reason });
    controller.abort(new Error(`stopping: ${reason}`));
    for (const group of STOP_GROUPS) {
      await Promise.all(steps.filter((step) => step.group === group).map(runStep));
      if (group === 'ready' && input.delayMs) await delay(input.delayMs);
    }
    log.info('stopped', { reason });
  }

  const lifecycle: Lifecycle = {
    ready: (name, check) => checks.set(name, check),
    async readiness() {
      const results = await Promise.all(
        [...checks].map(async ([name, check]) => [name, await runCheck(check)] as const),
      );
      if (controller.signal.aborted) results.push(['stopping', { ok: false, detail: 'shutting down' }]);
      return {
        ok: results.every(([, check]) => check.ok),
        routed: results.every(([, check]) => check.ok || check.stays),
        checks: Object.fromEntries(results.map(([name, { stays, ...check }]) => [name, check])),
      };
    },
    onStop: (group, name, fn) => {
      steps.push({ group, name, fn });
    },
    stop(reason) {
      stopped ??= run(reason);
      return stopped;
    },
    stopping: controller.signal,
    handleSignals() {
      onSignals((signal) => lifecycle.stop(signal));
    },
  };
  return lifecycle;
}

async function runCheck(check: () => Check | boolean | Promise<Check | boolean>): Promise<Check> {
  const timer = new AbortController();
  try {
    const late = delay(CHECK_TIMEOUT_MS, { ok: false, detail: 'no answer' }, { signal: timer.signal });
    late.catch(() => {});
    const result = await Promise.race([(async () => check())(), late]);
    return typeof result === 'boolean' ? { ok: result } : result;
  } catch {
    return { ok: false, detail: 'failed' }; // the reason is in the log of the part itself, never in a probe's answer
  } finally {
    timer.abort();
  }
}
