import type { KubeClient } from './client.ts';
import type { KubeObject } from './objects.ts';

/**
 * Server-side apply: of the object only the fields in `object` become ours. A field that we sent before and leave out
 * now is removed, another manager's is never touched.
 *
 * `force` is on, as Kubernetes advises controllers: of a field that both want, ours holds, and the next reconcile would
 * take it anyway. Labels and data keys of others stay theirs.
 * @param path of the object itself, not of its collection
 * @param resourceVersion of the object as it was read: refused (`isConflict`) when somebody wrote in between
 */
export function applyObject<T extends KubeObject>(
  client: KubeClient,
  input: {
    path: string;
    object: T & { apiVersion: string; kind: string };
    fieldManager: string;
    resourceVersion?: string | undefined;
    force?: boolean | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<T> {
  const { object, resourceVersion } = input;
  // What was read carries fields that apply refuses or that would all become ours; the version goes in only when asked.
  const { resourceVersion: _read, managedFields: _fields, ...metadata } = object.metadata as Record<string, unknown>;
  return client.request<T>({
    method: 'PATCH',
    path: input.path,
    query: { fieldManager: input.fieldManager, force: input.force ?? true },
    contentType: 'application/apply-patch+yaml', // JSON is YAML
    body: { ...object, metadata: { ...metadata, ...(resourceVersion === undefined ? {} : { resourceVersion }) } },
    signal: input.signal,
  });
}
