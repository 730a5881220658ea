import { digestGeneration } from '#platform/config/index.ts';
import type { KubeClient } from '../kube/client.ts';
import { isConflict, isNotFound } from '../kube/errors.ts';
import type { KubeObject } from '../kube/objects.ts';
import { type Kept, SecretConflict, type SecretStore, SLOTS, type SlotValues } from './secret-store.ts';

type KubeSecret = KubeObject & {
  metadata: {
    annotations?: Record<string, string>;
    ownerReferences?: { kind: string; name: string; apiVersion: string }[];
    managedFields?: { manager?: string; operation?: string; fieldsV1?: { 'f:data'?: Record<string, unknown> } }[];
  };
  data?: Record<string, string>;
};

/** Keys of a place: `NAME` is the value in use, the others hang off it. Only current and previous are mounted. */
const keysOf = (name: string, slot: (typeof SLOTS)[number]) => {
  const value = slot === 'current' ? name : `${name}.${slot}`;
  const generation = slot === 'current' ? `${name}.generation` : `${name}.${slot}_generation`;
  return { value, generation };
};

const MANAGER = 'klar-rotation';
/** Says which keys whoever applies the object takes over as it finds them; the chart does so with the demo's. */
const KEPT = 'klar.dev/kept-as-found';

const encode = (text: string) => Buffer.from(text).toString('base64');
const decode = (text: string) =>
  Buffer.from(text, 'base64')
    .toString('utf8')
    .replace(/\r?\n$/, '');

/** Secrets of a cluster: keys of one Secret. A write carries the version that was read, and changes our keys alone. */
export function createKubeStore(input: {
  client: KubeClient;
  namespace: string;
  /** Name of the Secret. */
  secret: string;
  /** Which keys are values of settings. */
  knows(name: string): boolean;
}): SecretStore {
  const { client } = input;
  const path = `/api/v1/namespaces/${input.namespace}/secrets/${input.secret}`;

  async function get(signal: AbortSignal): Promise<KubeSecret | undefined> {
    return client.request<KubeSecret>({ method: 'GET', path, signal }).catch((error) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
  }

  return {
    async names(signal) {
      const found = await get(signal);
      return Object.keys(found?.data ?? {})
        .filter((key) => input.knows(key))
        .sort();
    },
    async read(name, signal) {
      const found = await get(signal);
      const data = found?.data ?? {};
      const values: Partial<Record<(typeof SLOTS)[number], Kept>> = {};
      for (const slot of SLOTS) {
        const keys = keysOf(name, slot);
        const value = data[keys.value] && decode(data[keys.value] ?? '');
        if (!value) continue;
        const generation = data[keys.generation] && decode(data[keys.generation] ?? '').trim();
        values[slot] = { value, generation: generation || digestGeneration(name, value) };
      }
      if (!found || !values.current) return undefined;
      const managedBy = managerOf(found, name);
      return {
        values: values as SlotValues,
        version: found.metadata.resourceVersion ?? '',
        ...(managedBy ? { managedBy } : {}),
      };
    },
    async write(name, values, version, signal) {
      const data: Record<string, string | null> = {};
      for (const slot of SLOTS) {
        const keys = keysOf(name, slot);
        const kept = values[slot];
        data[keys.value] = kept ? encode(kept.value) : null;
        // Only a name of its own: one beside a value that somebody changes by hand would name the wrong one.
        const named = kept && kept.generation !== digestGeneration(name, kept.value);
        data[keys.generation] = named ? encode(kept.generation) : null;
      }
      await client
        .request({
          method: 'PATCH',
          path,
          query: { fieldManager: MANAGER },
          contentType: 'application/merge-patch+json',
          body: { metadata: { resourceVersion: version }, data },
          signal,
        })
        .catch((error) => {
          if (isConflict(error)) throw new SecretConflict(name);
          throw error;
        });
    },
  };
}

/**
 * Who would write back what we change: external-secrets, sealed-secrets, whoever owns the object, and who applies this key
 * (server-side, as Argo CD and Flux do): that one gives up a field only when it leaves it out.
 */
function managerOf({ metadata }: KubeSecret, name: string): string | undefined {
  const owner = metadata.ownerReferences?.[0];
  if (owner) return `${owner.kind} ${owner.name}`;
  const labels = metadata.labels ?? {};
  if (Object.keys(labels).some((key) => key.startsWith('reconcile.external-secrets.io/'))) return 'external-secrets';
  if (metadata.annotations?.[KEPT]?.split(',').includes(name)) return undefined;
  const applies = metadata.managedFields?.find(
    ({ manager, operation, fieldsV1 }) =>
      operation === 'Apply' && manager !== MANAGER && fieldsV1?.['f:data']?.[`f:${name}`] !== undefined,
  );
  if (applies) return `${applies.manager} (server-side apply)`;
  return undefined;
}
