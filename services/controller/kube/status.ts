import type { Clock } from '#platform/clock/index.ts';
import { applyObject } from './apply.ts';
import type { KubeClient } from './client.ts';
import { type Condition, type ConditionInput, parseConditions, setCondition } from './conditions.ts';
import { isNotFound } from './errors.ts';
import type { KubeObject } from './objects.ts';

export type ConfigMap = KubeObject & { data?: Record<string, string> };

export type StatusInput = {
  client: KubeClient;
  namespace: string;
  /** Name of the ConfigMap. */
  name: string;
  fieldManager: string;
  clock: Clock;
  /** Blanks known secret values: a message may quote what a person wrote or a server answered. */
  redact(text: string): string;
};

export type StatusWriter = {
  /**
   * Sets conditions and further keys, reading first; writes nothing when nothing changed.
   * @param data other keys of the ConfigMap, as text; all of them each time, a missing one is removed
   * @throws KubeError with `isConflict` when another writer was faster: the reconcile is run again
   */
  write(input: {
    conditions: readonly ConditionInput[];
    /** These are all there are: others are dropped. */
    whole?: boolean;
    data?: Record<string, string>;
    signal?: AbortSignal;
  }): Promise<readonly Condition[]>;
};

/** The status of something that has no status of its own: a ConfigMap with its conditions as JSON. */
export function createStatusWriter(input: StatusInput): StatusWriter {
  const { client, namespace, name, clock, redact } = input;
  const path = `/api/v1/namespaces/${namespace}/configmaps/${name}`;
  return {
    async write({ conditions, whole = false, data = {}, signal }) {
      const read = await client
        .request<ConfigMap>({ method: 'GET', path, ...(signal ? { signal } : {}) })
        .catch((error) => {
          if (isNotFound(error)) return undefined;
          throw error;
        });
      const before: readonly Condition[] = parseConditions(read?.data?.conditions);
      const kept = before.filter(({ type }) => !whole || conditions.some((condition) => condition.type === type));
      let next: readonly Condition[] = kept;
      for (const condition of conditions) {
        next = setCondition(next, { ...condition, message: redact(condition.message) }, clock.now());
      }
      const wanted: Record<string, string> = { conditions: JSON.stringify(next) };
      for (const [key, value] of Object.entries(data)) wanted[key] = redact(value);
      // A key too many may be one that we left out or another manager's: the API server knows, and changes nothing for the latter.
      const same =
        Object.entries(wanted).every(([key, value]) => read?.data?.[key] === value) &&
        Object.keys(read?.data ?? {}).every((key) => key in wanted);
      if (read && same) return next;
      await applyObject<ConfigMap>(client, {
        path,
        object: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data: wanted },
        fieldManager: input.fieldManager,
        resourceVersion: read?.metadata.resourceVersion,
        signal,
      });
      return next;
    },
  };
}
