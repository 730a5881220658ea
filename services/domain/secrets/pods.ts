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

/** Every pod that is not gone is in it: one that starts may have loaded the old value, one that ends still serves. */
export type PodReport = {
  pod: string;
  /** Takes requests. */
  ready: boolean;
  /** Absent: it did not answer, or does not hold the secret. */
  held?: HeldSecret;
  problem?: string;
  /** For how long it has said nothing, by the monotonic clock of who asks. */
  silentS?: number;
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
 * For so long a pod that neither takes requests nor answers is waited for, from the step's begin and from its own silence.
 * A kubelet mounts what changed within a minute and a half: what starts in that pod afterwards reads the values of the step.
 * Without an end, one pod in a crash loop, or on a node that is lost, would hold up every rotation, an emergency too.
 */
export const SILENT_S = 180;

const passedOver =
  (stepS: number) =>
  ({ ready, held, silentS = 0 }: PodReport): boolean =>
    !ready && held === undefined && Math.min(silentS, stepS) >= SILENT_S;

const because = (problem: string | undefined) => (problem ? ` (${problem})` : '');

/**
 * Which pods are behind, in words; empty when each one that may hold the secret has passed.
 * @param expected whether a running system has pods with this secret: then nobody's answer is no consent
 * @param stepS for how many seconds the rotation has been in its step
 */
export function behind(pods: Pods, barrier: Barrier, generation: string, expected: boolean, stepS: number): string[] {
  if (!pods.known) return [`the pods are not known: ${pods.problem}`];
  const counted = pods.reports.filter((report) => !passedOver(stepS)(report));
  if (counted.length === 0) {
    return expected ? [['no pod that holds it answers', ...overlooked(pods, stepS)].join('; ')] : [];
  }
  return counted.flatMap(({ pod, held, problem }) => {
    if (held === undefined) return [`${pod} does not say what it has loaded${because(problem)}`];
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
export function stillUsing(pods: Pods, generation: string, quietS: number, stepS: number): string[] {
  if (!pods.known) return [`the pods are not known: ${pods.problem}`];
  return pods.reports.flatMap((report) => {
    const { pod, held, problem } = report;
    if (held === undefined) {
      return passedOver(stepS)(report) ? [] : [`${pod} does not say whether it is used${because(problem)}`];
    }
    // One that does not accept it cannot have seen it used.
    if (!held.accepted.includes(generation)) return [];
    const idle = held.idleS[generation];
    if (idle === undefined) return [`${pod} does not say whether it is used`];
    // Without the seconds that passed: each text that differs is a row of the history.
    return idle < quietS ? [`${pod} saw it used within the last ${quietS} s`] : [];
  });
}

/** Pods that are not waited for any longer, in words: for the history. */
export const overlooked = (pods: Pods, stepS: number): string[] =>
  (pods.known ? pods.reports : [])
    .filter(passedOver(stepS))
    .map(
      ({ pod, problem }) => `${pod}${because(problem)} has been silent for ${SILENT_S} s or more and takes no requests`,
    );
