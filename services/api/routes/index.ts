import type { Route } from '#platform/http/index.ts';
import type { ApiDeps } from '../deps.ts';
import { documentOf } from '../openapi.ts';
import { adminRoutes } from './admin.ts';
import { opsRoutes } from './ops.ts';
import { tenancyRoutes } from './tenancy.ts';

/** Every route of the api. What is not in this list does not exist: not in the document, not in the matrix test. */
export function apiRoutes(deps: ApiDeps): Route[] {
  let document: object | undefined;
  const routes: Route[] = [
    ...tenancyRoutes(deps),
    ...adminRoutes(deps),
    ...opsRoutes(deps, () => {
      document ??= documentOf(routes);
      return document;
    }),
    ...tenancyRoutes(deps),
    ...adminRoutes(deps),
  ];
  return routes;
}
