import { statement, type Tx } from '#platform/db/index.ts';
import { SESSION_DAYS, SESSION_MAX_DAYS } from '../rules.ts';

export interface SessionRow {
  id: string;
  ip_address: string | null;
  user_agent: string | null;
  created_at: Date;
  updated_at: Date;
  expires_at: Date;
}

/** A session with its refresh family and its person, locked. */
export interface FamilyRow {
  session_id: string;
  person_id: string;
  generation: number;
  seed: Buffer;
  rotated_ms_ago: number;
  grace_used: boolean;
  live: boolean;
  email: string;
  email_verified: boolean;
  name: string;
}

// clock_timestamp(): now() is when the transaction began, before it waited for the lock of a refresh that rotated since.
const lockFamily = statement<FamilyRow>(
  'identity.lock_family',
  `select f.session_id, s.person_id, f.generation, f.seed,
     extract(epoch from clock_timestamp() - f.rotated_at)::float8 * 1000 as rotated_ms_ago, f.grace_used,
     s.expires_at > clock_timestamp() and s.created_at > clock_timestamp() - make_interval(days => $2) as live,
     p.email, p.email_verified, p.name
   from auth.session_families f
   join auth.sessions s on s.id = f.session_id
   join auth.people p on p.id = s.person_id
   where f.session_id = $1
   for no key update of f`,
);
const insertFamily = statement(
  'identity.insert_family',
  `with seen as (update auth.sessions set ip_address = $3, user_agent = $4 where id = $1)
   insert into auth.session_families (session_id, seed) values ($1, $2)`,
);
const isKnownAddress = statement<{ known: boolean }>(
  'identity.is_known_address',
  `select exists (
     select 1 from auth.people p
     join auth.sessions s on s.person_id = p.id
     join auth.session_families f on f.session_id = s.id
     where p.email = $1 and s.ip_address = $2 and s.expires_at > now()) as known`,
);
const rotateFamily = statement(
  'identity.rotate_family',
  `update auth.session_families set generation = generation + 1, rotated_at = clock_timestamp(), grace_used = false
   where session_id = $1`,
);
const useGrace = statement(
  'identity.use_grace',
  `update auth.session_families set grace_used = true where session_id = $1`,
);
const extendSession = statement(
  'identity.extend_session',
  `update auth.sessions set updated_at = now(), expires_at = now() + make_interval(days => $2),
     ip_address = $3, user_agent = $4
   where id = $1`,
);
const endSession = statement('identity.end_session', `delete from auth.sessions where id = $1 and person_id = $2`);
const endSessions = statement<{ id: string }>(
  'identity.end_sessions',
  `delete from auth.sessions where person_id = $1 and id <> $2 returning id`,
);
const deleteWorking = statement(
  'identity.delete_working_sessions',
  `delete from auth.sessions where id = any($1::text[])`,
);
const listSessions = statement<SessionRow>(
  'identity.list_sessions',
  `select s.id, s.ip_address, s.user_agent, s.created_at, s.updated_at, s.expires_at
   from auth.sessions s join auth.session_families f on f.session_id = s.id
   where s.person_id = $1 and s.expires_at > now() and s.id < $2
   order by s.id desc limit $3`,
);
const revokedSessions = statement<{ session_id: string }>(
  'identity.revoked_sessions',
  `select session_id from auth.revoked_sessions where until > now()`,
);
// A session of ours lives while its row does; an outside one has a row only once it was ended.
const isEnded = statement<{ ended: boolean }>(
  'identity.is_session_ended',
  `select case when $1 like 'ses\\_%' then not exists (select 1 from auth.session_families where session_id = $1)
     else exists (select 1 from auth.revoked_sessions where session_id = $1 and until > now()) end as ended`,
);
const revokeOutside = statement(
  'identity.revoke_outside_session',
  `insert into auth.revoked_sessions (session_id, until) values ($1, now() + make_interval(secs => $2))
   on conflict (session_id) do nothing`,
);

export const lock = (tx: Tx, sessionId: string) => tx.maybe(lockFamily, [sessionId, SESSION_MAX_DAYS]);

export async function openFamily(
  tx: Tx,
  family: { sessionId: string; seed: Buffer; ip: string; userAgent: string },
): Promise<void> {
  await tx.run(insertFamily, [family.sessionId, family.seed, family.ip, family.userAgent]);
}

/** Whether a living session of whoever owns this e-mail address was last used from this network address. */
export async function knownAddress(tx: Tx, email: string, ip: string): Promise<boolean> {
  return (await tx.one(isKnownAddress, [email, ip])).known;
}

export async function rotate(tx: Tx, sessionId: string, seen: { ip: string; userAgent: string }): Promise<void> {
  await Promise.all([
    tx.run(rotateFamily, [sessionId]),
    tx.run(extendSession, [sessionId, SESSION_DAYS, seen.ip, seen.userAgent]),
  ]);
}

export async function takeGrace(tx: Tx, sessionId: string): Promise<void> {
  await tx.run(useGrace, [sessionId]);
}

/** Whether there was such a session of this person. */
export async function end(tx: Tx, sessionId: string, personId: string): Promise<boolean> {
  return (await tx.run(endSession, [sessionId, personId])) > 0;
}

/** Ends every session of a person but `keep`; the ids of the ended ones. */
export async function endAll(tx: Tx, personId: string, keep = ''): Promise<string[]> {
  return (await tx.rows(endSessions, [personId, keep])).map(({ id }) => id);
}

/** Removes sessions that existed only inside one call of better-auth; they have no family, so nothing is revoked. */
export async function deleteWorkingSessions(tx: Tx, ids: readonly string[]): Promise<void> {
  await tx.run(deleteWorking, [ids]);
}

export const list = (tx: Tx, personId: string, before: string, limit: number) =>
  tx.rows(listSessions, [personId, before, limit]);

export async function revoked(tx: Tx): Promise<string[]> {
  return (await tx.rows(revokedSessions)).map((row) => row.session_id);
}

export async function ended(tx: Tx, sessionId: string): Promise<boolean> {
  return (await tx.one(isEnded, [sessionId])).ended;
}

export async function endOutside(tx: Tx, sessionId: string, seconds: number): Promise<void> {
  await tx.run(revokeOutside, [sessionId, seconds]);
}
