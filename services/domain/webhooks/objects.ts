/** The map from a provider's object to the tenant that owns it. */
import type { Tx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { objects } from './store/routing.ts';

/**
 * Records that an object at a provider belongs to a tenant; events about it are handled in that tenant. Call it in
 * the transaction that stores the object's id. Repeating it is harmless.
 * @param input.account the provider's connected account; '' is the platform's own
 * @throws KlarError conflict `provider_object_taken` when another tenant holds the object: an object never moves
 */
export async function mapProviderObject(
  tx: Tx,
  input: { provider: string; account: string; objectId: string; tenantId: string },
): Promise<void> {
  const holder = await objects.claim(tx, input, input.tenantId);
  if (holder !== input.tenantId) {
    throw fail.conflict('provider_object_taken', 'The provider object belongs to another tenant.');
  }
}
