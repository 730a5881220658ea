import type { Route } from '#platform/http/index.ts';
import type { ApiDeps } from '../deps.ts';
import { documentOf } from '../openapi.ts';
import { opsRoutes } from './ops.ts';

/** Every route of the api. What is not in this list does not exist: not in the document, not in the matrix test. */
export function apiRoutes(deps: ApiDeps): Route[] {
  let document: object | undefined;
  const routes: Route[] = [
    ...opsRoutes(deps, () => {
      document ??= documentOf(routes);
      return document;
    }),
  ];
  return routes;
}
