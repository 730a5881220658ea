import type { FormObject } from '../form.ts';
import { type Fields, parseParams } from '../params.ts';
import type { World } from '../world.ts';

/** One operation of the API: its parameters are checked before `handle` runs. `id` is the one in the path, or ''. */
export type Endpoint = {
  method: 'GET' | 'POST' | 'DELETE';
  /** With `:id` where the object's id stands. */
  path: string;
  /** Checks the parameters; what it throws is not stored under an idempotency key. */
  prepare(raw: FormObject): (world: World, id: string) => object;
};

/** Declares an operation; `T` is the SDK's type of its parameters, so that none is forgotten. */
export function endpoint<T>(
  method: Endpoint['method'],
  path: string,
  fields: Fields<T>,
  handle: (world: World, params: T, id: string) => object,
): Endpoint {
  return {
    method,
    path,
    prepare(raw) {
      const params = parseParams<T>(fields, raw);
      return (world, id) => handle(world, params, id);
    },
  };
}

/** The operation a request means, with the id in its path. */
export function findEndpoint(
  endpoints: readonly Endpoint[],
  method: string,
  path: string,
): { endpoint: Endpoint; id: string } | undefined {
  const parts = path.split('/');
  for (const candidate of endpoints) {
    if (candidate.method !== method) continue;
    const wanted = candidate.path.split('/');
    if (wanted.length !== parts.length) continue;
    const fits = wanted.every((part, index) => part === ':id' || part === parts[index]);
    if (fits) return { endpoint: candidate, id: parts[wanted.indexOf(':id')] ?? '' };
  }
  return undefined;
}
