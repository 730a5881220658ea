import { statement, type Tx } from '#platform/db/index.ts';

/** A person as the rest of Klar may see one. */
export interface PersonRow {
  id: string;
  email: string;
  email_verified: boolean;
  name: string;
  two_factor_enabled: boolean;
}

/** A person behind an outside account. */
export interface OutsidePersonRow extends PersonRow {
  tokens_valid_after_s: number;
}

const PERSON = 'p.id, p.email, p.email_verified, p.name, p.two_factor_enabled';

const personById = statement<PersonRow>('identity.person_by_id', `select ${PERSON} from auth.people p where p.id = $1`);
const personByEmail = statement<PersonRow>(
  'identity.person_by_email',
  `select ${PERSON} from auth.people p where p.email = $1`,
);
const peopleByIds = statement<PersonRow>(
  'identity.people_by_ids',
  `select ${PERSON} from auth.people p where p.id = any($1::text[])`,
);
const lockPerson = statement<PersonRow>(
  'identity.lock_person',
  `select ${PERSON} from auth.people p where p.id = $1 for update`,
);
// '-infinity' is the start of time for a comparison, and no number that JSON or JavaScript could carry.
const outsidePerson = statement<OutsidePersonRow>(
  'identity.outside_person',
  `select ${PERSON}, case when isfinite(p.tokens_valid_after) then extract(epoch from p.tokens_valid_after)::float8 else 0 end
     as tokens_valid_after_s
   from auth.accounts a join auth.people p on p.id = a.person_id
   where a.provider_id = $1 and a.account_id = $2`,
);
const insertPerson = statement(
  'identity.insert_person',
  `insert into auth.people (id, email, email_verified, name) values ($1, $2, $3, $4)`,
);
const insertAccount = statement(
  'identity.insert_account',
  `insert into auth.accounts (id, person_id, provider_id, account_id) values ($1, $2, $3, $4)`,
);
const markVerified = statement(
  'identity.mark_verified',
  `update auth.people set email_verified = true, updated_at = now() where id = $1 and not email_verified`,
);
const endOutsideTokens = statement(
  'identity.end_outside_tokens',
  `update auth.people set tokens_valid_after = clock_timestamp() where id = $1`,
);
const deleteSecondFactor = statement(
  'identity.drop_second_factor',
  `delete from auth.two_factors where person_id = $1`,
);
const clearSecondFactorFlag = statement(
  'identity.clear_second_factor_flag',
  `update auth.people set two_factor_enabled = false, updated_at = now() where id = $1 and two_factor_enabled`,
);
const deleteOutsideAccounts = statement(
  'identity.drop_outside_accounts',
  `delete from auth.accounts where person_id = $1 and provider_id <> 'credential'`,
);
// Both kinds carry the person's id: links that set a password, and logins that wait for their second factor.
const deleteOpenTokens = statement('identity.delete_open_tokens', `delete from auth.verifications where value = $1`);
const hasPassword = statement<{ found: boolean }>(
  'identity.has_password',
  `select exists (select 1 from auth.accounts where person_id = $1 and provider_id = 'credential' and password is not null)
     as found`,
);
const pendingSecondFactor = statement<{ verified: boolean }>(
  'identity.second_factor_state',
  `select verified from auth.two_factors where person_id = $1`,
);
const spendCode = statement(
  'identity.spend_code',
  `insert into auth.spent_codes (person_id, code_hash, expires_at) values ($1, $2, now() + interval '5 minutes')
   on conflict (person_id, code_hash) do nothing`,
);

export const byId = (tx: Tx, id: string) => tx.maybe(personById, [id]);
export const byEmail = (tx: Tx, email: string) => tx.maybe(personByEmail, [email]);
export const byIds = (tx: Tx, ids: readonly string[]) => tx.rows(peopleByIds, [ids]);
export const lock = (tx: Tx, id: string) => tx.maybe(lockPerson, [id]);
export const outside = (tx: Tx, issuer: string, subject: string) => tx.maybe(outsidePerson, [issuer, subject]);

export async function insertOutsidePerson(
  tx: Tx,
  person: { id: string; email: string; emailVerified: boolean; name: string },
): Promise<void> {
  await tx.run(insertPerson, [person.id, person.email, person.emailVerified, person.name]);
}

export async function linkOutside(tx: Tx, personId: string, issuer: string, subject: string): Promise<void> {
  await tx.run(insertAccount, [tx.newId('acc'), personId, issuer, subject]);
}

/** Whether it was not verified before. */
export async function verify(tx: Tx, id: string): Promise<boolean> {
  return (await tx.run(markVerified, [id])) > 0;
}

/** Refuses every token an outside issuer made for this person until now. */
export async function refuseOutsideTokens(tx: Tx, id: string): Promise<void> {
  await tx.run(endOutsideTokens, [id]);
}

export async function dropSecondFactor(tx: Tx, id: string): Promise<void> {
  await Promise.all([tx.run(deleteSecondFactor, [id]), tx.run(clearSecondFactorFlag, [id])]);
}

/** Removes every way in through an outside issuer. */
export async function dropOutsideAccounts(tx: Tx, id: string): Promise<void> {
  await tx.run(deleteOutsideAccounts, [id]);
}

/** Makes worthless what was mailed or begun under the old password: links to set another, logins that wait for a code. */
export async function dropOpenTokens(tx: Tx, id: string): Promise<void> {
  await tx.run(deleteOpenTokens, [id]);
}

export async function withPassword(tx: Tx, id: string): Promise<boolean> {
  return (await tx.one(hasPassword, [id])).found;
}

/** `none`, `pending` (shown but never confirmed) or `on`. */
export async function secondFactorState(tx: Tx, id: string): Promise<'none' | 'pending' | 'on'> {
  const row = await tx.maybe(pendingSecondFactor, [id]);
  if (row === undefined) return 'none';
  return row.verified ? 'on' : 'pending';
}

/** False when this code was used before. */
export async function spend(tx: Tx, personId: string, codeHash: Buffer): Promise<boolean> {
  return (await tx.run(spendCode, [personId, codeHash])) === 1;
}
