import type { Route } from '#platform/http/index.ts';
import type { ApiDeps } from '../deps.ts';

/** Every route of the api. What is not in this list does not exist: not in the document, not in the matrix test. */
export function apiRoutes(_deps: ApiDeps): Route[] {
  return [];
}
