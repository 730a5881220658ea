import type { Identity, PersonPrincipal } from '#domain/identity/index.ts';

/**
 * The caller as the database knows them now. A token may be five minutes old, and who has just confirmed an address
 * would be told for that long that they have not.
 */
export async function personNow(
  identity: Pick<Identity, 'people'>,
  principal: PersonPrincipal,
): Promise<PersonPrincipal> {
  const person = (await identity.people([principal.personId])).get(principal.personId);
  if (person === undefined) return principal;
  const { email, emailVerified, name } = person;
  return { ...principal, email, emailVerified, name };
}
