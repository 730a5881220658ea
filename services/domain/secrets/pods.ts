/** What a pod says of one secret it holds, at `/versionz`. */
export type HeldSecret = {
  /** The generation it uses: signs with, logs in with. */
  current: string;
  /** What it accepts, the current one first. */
  accepted: readonly string[];
  /**
   * For each accepted generation: seconds since it was last used or was current in that pod, whichever is later; since
   * the start of the process where it was neither. By the pod's monotonic clock.
   */
  idleS: Readonly<Record<string, number>>;
};

export type PodReport = {
  pod: string;
  /** Takes requests. */
  ready: boolean;
  /** Absent: it did not answer, or does not hold the secret. */
  held?: HeldSecret;
  problem?: string;
};

/** `unknown`: who there is could not be found out; nothing may be concluded from that. */
export type Pods = { known: true; reports: readonly PodReport[] } | { known: false; problem: string };

export type Barrier = 'accepts' | 'uses' | 'forgot';

const WORDS: Record<Barrier, string> = {
  accepts: 'does not accept the new value yet',
  uses: 'does not use that value yet',
  forgot: 'still accepts the old value',
};

/**
 * Which pods are behind, in words; empty when each one that may hold the secret has passed. One that is not ready but
 * answers counts too: it is about to take requests. One that is not ready and silent does not, or a pod that crashes
 * would hold up every rotation.
 * @param expected whether a running system has pods with this secret: then nobody's answer is no consent
 */
export function behind(pods: Pods, barrier: Barrier, generation: string, expected: boolean): string[] {
  if (!pods.known) return [`the pods are not known: ${pods.problem}`];
  const counted = pods.reports.filter(({ ready, held }) => ready || held !== undefined);
  if (counted.length === 0) return expected ? ['no pod that holds it answers'] : [];
  return counted.flatMap(({ pod, held, problem }) => {
    if (held === undefined) return [`${pod} does not say what it has loaded${problem ? ` (${problem})` : ''}`];
    const passed =
      barrier === 'accepts'
        ? held.accepted.includes(generation)
        : barrier === 'uses'
          ? held.current === generation
          : !held.accepted.includes(generation);
    return passed ? [] : [`${pod} ${WORDS[barrier]}`];
  });
}

/** Which pods saw a generation used within the window, in words. */
export function stillUsing(pods: Pods, generation: string, quietS: number): string[] {
  if (!pods.known) return [`the pods are not known: ${pods.problem}`];
  return pods.reports.flatMap(({ pod, ready, held }) => {
    if (held === undefined) return ready ? [`${pod} does not say whether it is used`] : [];
    // One that does not accept it cannot have seen it used.
    if (!held.accepted.includes(generation)) return [];
    const idle = held.idleS[generation];
    if (idle === undefined) return [`${pod} does not say whether it is used`];
    return idle < quietS ? [`${pod} saw it used ${Math.round(idle)} s ago, of ${quietS} s of silence`] : [];
  });
}
