import type { Route } from '#platform/http/index.ts';
import type { ApiDeps } from '../deps.ts';
import { documentOf } from '../openapi.ts';
import { adminRoutes } from './admin.ts';
import { identityRoutes } from './identity.ts';
import { learningRoutes } from './learning.ts';
import { opsRoutes } from './ops.ts';
import { paymentsRoutes } from './payments.ts';
import { salesRoutes } from './sales.ts';
import { tenancyRoutes } from './tenancy.ts';
import { webhooksRoutes } from './webhooks.ts';

/** Every route of the api. What is not in this list does not exist: not in the document, not in the matrix test. */
export function apiRoutes(deps: ApiDeps): Route[] {
  let document: object | undefined;
  const routes: Route[] = [
    ...identityRoutes(deps),
    ...tenancyRoutes(deps),
    ...learningRoutes(deps),
    ...salesRoutes(deps),
    ...paymentsRoutes(deps),
    ...adminRoutes(deps),
    ...webhooksRoutes(deps),
    ...opsRoutes(deps, () => {
      document ??= documentOf(routes);
      return document;
    }),
  ];
  return routes;
}
