/** The parts of a Kubernetes object that this folder reads. */
export type KubeObject = {
  apiVersion?: string;
  kind?: string;
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    generation?: number;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
};

export type KubeList<T> = { metadata: { resourceVersion?: string; continue?: string }; items: T[] };

/**
 * Whether `a` is a later version than `b`. Versions of the built-in kinds are decimal numbers that only grow; of two
 * that are not, any difference counts as news, as showing an event twice is harmless and losing one is not.
 */
export function isNewer(a: string, b: string): boolean {
  if (!/^\d+$/.test(a) || !/^\d+$/.test(b)) return a !== b;
  return a.length === b.length ? a > b : a.length > b.length;
}
