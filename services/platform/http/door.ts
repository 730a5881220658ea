import type { IncomingMessage } from 'node:http';
import type { TenantTx } from '#platform/db/index.ts';
import type { Access } from './route.ts';

/**
 * How a process knows its callers. platform/http knows no domain: identity and tenancy are behind these functions.
 * A principal is whatever the process calls one.
 */
export interface Door {
  /** Who the credentials name; undefined when there are none. @throws KlarError unauthenticated */
  authenticate(req: IncomingMessage): Promise<object | undefined>;
  /** The principal as this kind of route needs it. @throws KlarError forbidden, not_found */
  admit(principal: object, access: Access): Promise<object>;
  /** Id of the tenant the request is about. @throws KlarError not_found, invalid `tenant_required` */
  tenantOf(principal: object, slug: string | undefined): Promise<string>;
  /** Decides inside the request's own transaction. @throws KlarError not_found, forbidden, payment_required */
  authorize(
    tx: TenantTx,
    principal: object,
    permission: string,
    mode: 'read' | 'write',
  ): Promise<{ slug: string; role: string | undefined }>;
  /** `kind:id`: the scope of idempotency keys and rate limits, and a log field. */
  nameOf(principal: object): string;
  /** The audit's name for it. */
  actorOf(principal: object): object;
}
