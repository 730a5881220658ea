import type { HeldSecret, PodReport, Pods } from '#domain/secrets/index.ts';
import { type ProcessName, type Secret, type SettingName, SPEC } from '#platform/config/index.ts';

/** Who may hold a secret, and what each of them has loaded. */
export type PodsView = {
  look(secret: string, signal: AbortSignal): Promise<Pods>;
  /** Whether a running system has pods that hold it: processes that serve, not Jobs. */
  expects(secret: string): boolean;
};

const SERVING: readonly ProcessName[] = ['api', 'webhook-ingest', 'worker', 'controller'];

/** The processes that may hold a secret, of those that run all the time. */
export function holdersOf(secret: string): readonly ProcessName[] {
  const row = SPEC[secret as SettingName] as { processes?: readonly ProcessName[] } | undefined;
  return row === undefined ? [] : SERVING.filter((process) => row.processes?.includes(process) ?? true);
}

type Use = { generation: string; idleS: number };
const heldOf = (uses: readonly Use[]): HeldSecret | undefined =>
  uses[0] && {
    current: uses[0].generation,
    accepted: uses.map(({ generation }) => generation),
    idleS: Object.fromEntries(uses.map(({ generation, idleS }) => [generation, idleS])),
  };

/** The all-in-one: this process is every pod. */
export function localPods(secrets: readonly Secret[]): PodsView {
  return {
    expects: (name) => secrets.some((secret) => secret.name === name),
    look: async (name) => {
      const held = heldOf(secrets.find((secret) => secret.name === name)?.uses() ?? []);
      return { known: true, reports: held ? [{ pod: 'this process', ready: true, held }] : [] };
    },
  };
}

export type PodAddress = { pod: string; ready: boolean; process: string; url?: string };

/** Longer than a busy event loop stands still, far shorter than a barrier waits. */
const ANSWER_MS = 3_000;
/** Several secrets are looked at in one go; each pod is asked once. */
const FRESH_MS = 500;

/** Pods that are asked over HTTP at their admin port. */
export function httpPods(list: (signal: AbortSignal) => Promise<readonly PodAddress[]>): PodsView {
  let asked:
    | { at: number; answer: Promise<readonly (PodAddress & { accepted?: Record<string, Use[]>; problem?: string })[]> }
    | undefined;

  async function ask(signal: AbortSignal) {
    const pods = await list(signal);
    return Promise.all(
      pods.map(async (pod) => {
        if (pod.url === undefined) return { ...pod, problem: 'it has no address yet' };
        try {
          const response = await fetch(`${pod.url}/versionz`, {
            signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
          });
          if (!response.ok) return { ...pod, problem: `it answers ${response.status}` };
          const { accepted } = (await response.json()) as { accepted?: Record<string, Use[]> };
          return { ...pod, ...(accepted ? { accepted } : { problem: 'its version is too old to say' }) };
        } catch (error) {
          return { ...pod, problem: `it does not answer (${(error as Error).name})` };
        }
      }),
    );
  }

  return {
    expects: (secret) => holdersOf(secret).length > 0,
    async look(secret, signal) {
      const holders: readonly string[] = holdersOf(secret);
      try {
        if (asked === undefined || performance.now() - asked.at > FRESH_MS)
          asked = { at: performance.now(), answer: ask(signal) };
        const pods = (await asked.answer).filter(
          ({ process }) => holders.includes(process) || process === 'all-in-one',
        );
        const reports = pods.map(({ pod, ready, accepted, problem }): PodReport => {
          const held = heldOf(accepted?.[secret] ?? []);
          return { pod, ready, ...(held ? { held } : {}), ...(problem ? { problem } : {}) };
        });
        return { known: true, reports };
      } catch (error) {
        asked = undefined;
        return { known: false, problem: (error as Error).message };
      }
    },
  };
}
