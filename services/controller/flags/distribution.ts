import type { PodAnswer } from '../pods.ts';
import type { Verdict } from './decide.ts';

export type Distribution = Verdict & {
  current: number;
  /** Ready pods that run something else, and what. */
  lagging: { pod: string; version: string | null }[];
  /** Ready pods that did not answer. */
  silent: string[];
};

/** Who among the ready pods runs the version. One that is not ready takes no requests, so it holds up nothing. */
export function distributionOf(pods: readonly PodAnswer[], version: string): Distribution {
  const ready = pods.filter((pod) => pod.ready);
  const silent = ready.filter(({ versionz }) => versionz === undefined).map(({ pod }) => pod);
  const answered = ready.flatMap(({ pod, versionz }) =>
    versionz === undefined ? [] : [{ pod, version: runs(versionz) }],
  );
  const lagging = answered.filter((one) => one.version !== version);
  const current = answered.length - lagging.length;
  if (lagging.length === 0 && silent.length === 0) {
    const message = `All ${current} ready pods run version ${version}.`;
    return { valid: true, reason: 'Distributed', message, current, lagging, silent };
  }
  const named = [
    ...lagging.map((one) => `${one.pod} runs ${one.version ?? 'no document'}`),
    ...silent.map((pod) => `${pod} does not answer`),
  ];
  const more = named.length > 5 ? ` and ${named.length - 5} more` : '';
  const message = `${current} of ${ready.length} ready pods run version ${version}; ${named.slice(0, 5).join(', ')}${more}.`;
  return { valid: false, reason: lagging.length > 0 ? 'PodsLag' : 'PodsSilent', message, current, lagging, silent };
}

function runs(versionz: unknown): string | null {
  const { flags } = (versionz ?? {}) as { flags?: { version?: unknown } | null };
  return typeof flags?.version === 'string' ? flags.version : null;
}
