import * as audit from '#domain/audit/index.ts';
import { safeEqual } from '#platform/crypto/index.ts';
import type { Db, TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { isId, SYSTEM_TENANT_ID } from '#platform/ids/index.ts';
import { isPlatformPermission, PLATFORM_PERMISSIONS, type PlatformPermission, type Role } from './permissions.ts';
import { actorOf, type PlatformPrincipal } from './principal.ts';
import * as members from './store/members.ts';
import * as admins from './store/platform-admins.ts';
import * as tenants from './store/tenants.ts';

export type PlatformAdmin = admins.PlatformAdminRow;
export type TenantSummary = tenants.TenantListRow;

/** The platform principal behind ADMIN_TOKEN, or undefined when `token` is none of its accepted values. */
export function platformPrincipalOfToken(
  adminToken:
    | { accepted(): readonly { value: string; generation?: string }[]; used?(generation: string): void }
    | undefined,
  token: string,
): PlatformPrincipal | undefined {
  // No short cut: every accepted value is compared, each in constant time.
  const [match] = (adminToken?.accepted() ?? []).filter(({ value }) => safeEqual(value, token));
  if (match?.generation !== undefined) adminToken?.used?.(match.generation);
  return match ? { kind: 'platform', id: 'admin-token', permissions: PLATFORM_PERMISSIONS } : undefined;
}

/** The platform principal of a person with a platform role, read anew each time. */
export async function platformPrincipalOfPerson(db: Db, personId: string): Promise<PlatformPrincipal | undefined> {
  const row = await db.withTx((tx) => admins.read(tx, personId), { readOnly: 'one flight' });
  if (row === undefined) return undefined;
  return { kind: 'platform', id: personId, permissions: row.permissions.filter(isPlatformPermission) };
}

/** Schools by id, filtered; the call itself is audited. */
export async function listTenants(
  db: Db,
  by: PlatformPrincipal,
  reason: string | undefined,
  filter: tenants.TenantFilter,
): Promise<TenantSummary[]> {
  return db.withTenantTx(SYSTEM_TENANT_ID, async (tx) => {
    const [rows] = await Promise.all([
      tenants.list(tx, SYSTEM_TENANT_ID, filter),
      audit.append(tx, {
        action: 'platform.tenants.list',
        actor: actorOf(by),
        object: { type: 'tenant', id: '*' },
        details: {
          reason,
          billing_state: filter.billingState,
          blocked: filter.blocked,
          slug_prefix: filter.slugPrefix,
        },
      }),
    ]);
    return rows;
  });
}

export interface TenantDetails {
  tenant: tenants.TenantRow;
  members: Partial<Record<Role, number>>;
}

/** One school with its members counted by role; the call itself is audited. @throws KlarError not_found */
export async function showTenant(
  db: Db,
  by: PlatformPrincipal,
  tenantId: string,
  reason: string | undefined,
): Promise<TenantDetails> {
  return inTenant(db, tenantId, async (tx) => {
    const [tenant, counts] = await Promise.all([tenants.read(tx), members.countByRole(tx)]);
    if (tenant === undefined) throw fail.notFound();
    await appendPlatform(tx, by, 'platform.tenants.show', { reason });
    return { tenant, members: Object.fromEntries(counts.map(({ role, count }) => [role, count])) };
  });
}

/** Blocks a school (everything 403) or lifts the block. Counts from the commit on. @throws KlarError not_found */
export async function setBlocked(
  db: Db,
  by: PlatformPrincipal,
  tenantId: string,
  blocked: boolean,
  reason: string,
): Promise<tenants.TenantRow> {
  return inTenant(db, tenantId, async (tx) => {
    const tenant = await tenants.block(tx, blocked, reason);
    if (tenant === undefined) throw fail.notFound();
    await appendPlatform(tx, by, blocked ? 'platform.tenants.block' : 'platform.tenants.unblock', { reason });
    return tenant;
  });
}

/** Suspends a school (writes 402, reads stay) or lifts it to `active`. @throws KlarError not_found */
export async function setSuspended(
  db: Db,
  by: PlatformPrincipal,
  tenantId: string,
  suspended: boolean,
  reason: string,
): Promise<tenants.TenantRow> {
  return inTenant(db, tenantId, async (tx) => {
    const tenant = await tenants.setBilling(tx, suspended ? 'suspended' : 'active');
    if (tenant === undefined) throw fail.notFound();
    await appendPlatform(tx, by, suspended ? 'platform.tenants.suspend' : 'platform.tenants.unsuspend', { reason });
    return tenant;
  });
}

async function inTenant<T>(db: Db, tenantId: string, fn: (tx: TenantTx) => Promise<T>): Promise<T> {
  // The platform's own rows are no school: nobody may block the place where blocking is recorded.
  if (tenantId === SYSTEM_TENANT_ID || !isId('ten', tenantId)) throw fail.notFound();
  return db.withTenantTx(tenantId, fn);
}

function appendPlatform(tx: TenantTx, by: PlatformPrincipal, action: audit.AuditAction, details: object) {
  return audit.append(tx, {
    action,
    actor: actorOf(by),
    object: { type: 'tenant', id: tx.tenantId },
    details: { ...details },
  });
}

/** Makes a person a platform administrator, or changes what they may do. For `klar admin`, as klar_ops. */
export async function grantPlatformAdmin(
  db: Db,
  input: { personId: string; permissions: readonly PlatformPermission[]; by: string; reason: string },
): Promise<void> {
  await db.withTenantTx(SYSTEM_TENANT_ID, async (tx) => {
    await admins.upsert(tx, input.personId, input.permissions, input.by);
    await audit.append(tx, {
      action: 'platform.admins.grant',
      actor: { kind: 'platform', id: input.by },
      object: { type: 'person', id: input.personId },
      details: { permissions: input.permissions, reason: input.reason },
    });
  });
}

/** @returns whether the person was one */
export async function revokePlatformAdmin(
  db: Db,
  input: { personId: string; by: string; reason: string },
): Promise<boolean> {
  return db.withTenantTx(SYSTEM_TENANT_ID, async (tx) => {
    const removed = await admins.remove(tx, input.personId);
    if (removed) {
      await audit.append(tx, {
        action: 'platform.admins.revoke',
        actor: { kind: 'platform', id: input.by },
        object: { type: 'person', id: input.personId },
        details: { reason: input.reason },
      });
    }
    return removed;
  });
}

export const listPlatformAdmins = (db: Db) => db.withTx((tx) => admins.list(tx), { readOnly: true });
