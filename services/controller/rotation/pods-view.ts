import type { HeldSecret, PodReport, Pods } from '#domain/secrets/index.ts';
import { type ProcessName, type Secret, type SettingName, SPEC } from '#platform/config/index.ts';
import type { PodAnswer } from '../pods.ts';

/** Who may hold a secret, and what each of them has loaded. */
export type PodsView = {
  look(secret: string, signal: AbortSignal): Promise<Pods>;
  /** Whether a running system has pods that hold it: processes that serve, not Jobs. */
  expects(secret: string): boolean;
};

/** Processes that run all the time and are asked what they have loaded. */
const ASKED: readonly ProcessName[] = ['api', 'webhook-ingest', 'worker'];

/** Which of them may hold a secret. */
export function holdersOf(secret: string): readonly ProcessName[] {
  const row = SPEC[secret as SettingName] as { processes?: readonly ProcessName[] } | undefined;
  return row === undefined ? [] : ASKED.filter((process) => row.processes?.includes(process) ?? true);
}

type Use = { generation: string; idleS: number };

function heldOf(uses: readonly Use[] | undefined): HeldSecret | undefined {
  return (
    uses?.[0] && {
      current: uses[0].generation,
      accepted: uses.map(({ generation }) => generation),
      idleS: Object.fromEntries(uses.map(({ generation, idleS }) => [generation, idleS])),
    }
  );
}

const usesOf = (secrets: readonly Secret[], name: string) => secrets.find((secret) => secret.name === name)?.uses();

/** The all-in-one: this process is every pod. */
export function localPods(secrets: readonly Secret[]): PodsView {
  return {
    expects: (name) => secrets.some((secret) => secret.name === name),
    async look(name) {
      const held = heldOf(usesOf(secrets, name));
      return { known: true, reports: held ? [{ pod: 'this process', ready: true, held }] : [] };
    },
  };
}

/** Several secrets are looked at in one go; each pod is asked once. */
const FRESH_MS = 500;

/**
 * The pods of a cluster, and this process itself where it holds the secret.
 * @param own secrets of this process
 * @param monotonic in milliseconds, for tests
 */
export function clusterPods(
  observe: (signal: AbortSignal) => Promise<PodAnswer[]>,
  own: readonly Secret[] = [],
  monotonic: () => number = () => performance.now(),
): PodsView {
  let asked: { at: number; answers: Promise<PodAnswer[]> } | undefined;
  /** Since when a pod has not answered. By its name, as a Deployment gives none twice. */
  const silent = new Map<string, number>();
  const listen = (answers: readonly PodAnswer[], now: number) => {
    const quiet = new Set(answers.filter(({ versionz }) => versionz === undefined).map(({ pod }) => pod));
    for (const pod of silent.keys()) if (!quiet.has(pod)) silent.delete(pod);
    for (const pod of quiet) if (!silent.has(pod)) silent.set(pod, now);
  };
  return {
    expects: (secret) => holdersOf(secret).length > 0,
    async look(secret, signal) {
      const holders: readonly string[] = holdersOf(secret);
      const now = monotonic();
      if (asked === undefined || now - asked.at > FRESH_MS) {
        const answers = observe(signal).then((all) => {
          listen(all, now);
          return all;
        });
        asked = { at: now, answers };
      }
      let answers: PodAnswer[];
      try {
        answers = await asked.answers;
      } catch (error) {
        asked = undefined;
        return { known: false, problem: (error as Error).message };
      }
      const reports = answers
        .filter(({ component }) => holders.includes(component))
        .map(({ pod, ready, versionz, problem }): PodReport => {
          const { accepted } = (versionz ?? {}) as { accepted?: Record<string, Use[]> };
          const held = heldOf(accepted?.[secret]);
          const why = problem ?? (accepted ? undefined : 'its version is too old to say');
          const silentS = (now - (silent.get(pod) ?? now)) / 1_000;
          return { pod, ready, silentS, ...(held ? { held } : {}), ...(why ? { problem: why } : {}) };
        });
      const mine = heldOf(usesOf(own, secret));
      if (mine) reports.push({ pod: 'the controller', ready: true, held: mine });
      return { known: true, reports };
    },
  };
}
