/** Rotations and what is known of secrets: ops.rotations and around. Every time in it is the database's. */
import { type Statement, statement, type Tx } from '#platform/db/index.ts';
import { newValueInUse, type Outcome, type Rotation, type Step } from './machine.ts';

export type RotationRow = Rotation & {
  outcome: Outcome | null;
  startedAt: Date;
  finishedAt: Date | null;
  startedBy: string;
  reason: string | null;
  waiting: string | null;
};

export type StepEvent = 'begun' | 'acted' | 'waits' | 'failed' | 'asked' | 'ended';
export type HistoryRow = { at: Date; step: string; event: StepEvent; note: string | null; term: number };

export type RequestAction = 'rotate' | 'cancel' | 'rollback';
export type RotationRequest = {
  id: string;
  secret: string;
  action: RequestAction;
  emergency: boolean;
  reason: string | null;
  requestedBy: string;
  requestedAt: Date;
  takenAt: Date | null;
  accepted: boolean | null;
  answer: string | null;
};

export type SecretState = {
  secret: string;
  kind: string;
  generation: string;
  since: Date;
  dueAt: Date | null;
  reason: string;
  message: string;
  observedAt: Date;
};

const ROTATION = `r.id, r.secret, r.kind, r.step, r.acted, r.step_since as "stepSince", r.from_generation as "from",
  r.to_generation as "to", r.emergency, r.soak_s as "soakS", r.quiet_s as "quietS", r.was_active as "wasActive", r.back,
  r.outcome, r.started_at as "startedAt", r.finished_at as "finishedAt", r.started_by as "startedBy", r.reason, r.waiting`;
const REQUEST = `q.id, q.secret, q.action, q.emergency, q.reason, q.requested_by as "requestedBy",
  q.requested_at as "requestedAt", q.taken_at as "takenAt", q.accepted, q.answer`;
const STATE = `s.secret, s.kind, s.generation, s.since, s.due_at as "dueAt", s.reason, s.message,
  s.observed_at as "observedAt"`;

const databaseNow = statement<{ now: Date }>('secrets.now', 'select clock_timestamp() as now');
const runningRotations = statement<RotationRow>(
  'secrets.running_rotations',
  `select ${ROTATION} from ops.rotations r where r.outcome is null order by r.secret`,
);
const rotationsOf = statement<RotationRow>(
  'secrets.rotations_of',
  `select ${ROTATION} from ops.rotations r where r.secret = $1 order by r.started_at desc limit $2`,
);
const insertRotation = statement<RotationRow>(
  'secrets.insert_rotation',
  `insert into ops.rotations as r (id, secret, kind, step, from_generation, emergency, soak_s, quiet_s, started_by, reason, term)
   values ($1, $2, $3, 'creating', $4, $5, $6, $7, $8, $9, $10)
   returning ${ROTATION}`,
);
const recordActed = statement(
  'secrets.record_acted',
  `update ops.rotations set acted = true, to_generation = coalesce(to_generation, $3), waiting = null, term = $4
    where id = $1 and step = $2 and outcome is null`,
);
const recordStep = statement(
  'secrets.record_step',
  `update ops.rotations
      set step = $3, acted = false, step_since = clock_timestamp(), waiting = null, was_active = was_active or $4, term = $5
    where id = $1 and step = $2 and outcome is null and not (back and $3 = 'retiring')`,
);
const recordWaiting = statement(
  'secrets.record_waiting',
  `update ops.rotations set waiting = $2, term = $3 where id = $1 and outcome is null and waiting is distinct from $2`,
);
const recordBack = statement(
  'secrets.record_back',
  'update ops.rotations set back = true, term = $2 where id = $1 and outcome is null and step = $3',
);
const recordEmergency = statement(
  'secrets.record_emergency',
  'update ops.rotations set emergency = true, term = $2 where id = $1 and outcome is null',
);
const endRotation = statement(
  'secrets.end_rotation',
  `update ops.rotations set outcome = $2, finished_at = clock_timestamp(), waiting = null, term = $3
    where id = $1 and outcome is null`,
);
const insertHistory = statement(
  'secrets.insert_history',
  `insert into ops.rotation_steps (rotation_id, number, step, event, note, term)
   select $1, coalesce(max(h.number), 0) + 1, $2, $3, $4, $5 from ops.rotation_steps h where h.rotation_id = $1`,
);
const readHistory = statement<HistoryRow>(
  'secrets.read_history',
  `select h.at, h.step, h.event, h.note, h.term::double precision as term
     from ops.rotation_steps h where h.rotation_id = $1 order by h.number`,
);
const openRequests = statement<RotationRequest>(
  'secrets.open_requests',
  `select ${REQUEST} from ops.rotation_requests q where q.taken_at is null order by q.requested_at limit 100`,
);
const insertRequest = statement<RotationRequest>(
  'secrets.insert_request',
  `insert into ops.rotation_requests as q (id, secret, action, emergency, reason, requested_by)
   values ($1, $2, $3, $4, $5, $6) returning ${REQUEST}`,
);
const readRequest = statement<RotationRequest>(
  'secrets.read_request',
  `select ${REQUEST} from ops.rotation_requests q where q.id = $1`,
);
const answerRequest = statement(
  'secrets.answer_request',
  `update ops.rotation_requests set taken_at = clock_timestamp(), accepted = $2, answer = $3
    where id = $1 and taken_at is null`,
);
const readStates = statement<SecretState>(
  'secrets.read_states',
  `select ${STATE} from ops.secret_states s order by s.secret`,
);
// The age goes on while the generation stays; a write that changes nothing is none.
const putState = statement(
  'secrets.put_state',
  `insert into ops.secret_states as s (secret, kind, generation, due_at, reason, message) values ($1, $2, $3, $4, $5, $6)
   on conflict (secret) do update
     set kind = excluded.kind, generation = excluded.generation, due_at = excluded.due_at, reason = excluded.reason,
         message = excluded.message, observed_at = clock_timestamp(),
         since = case when s.generation = excluded.generation then s.since else clock_timestamp() end
   where (s.kind, s.generation, s.reason, s.message) is distinct from
         (excluded.kind, excluded.generation, excluded.reason, excluded.message)
      or s.due_at is distinct from excluded.due_at`,
);
// Its age stays: one that is back, or that an API server did not show for a moment, is as old as it was.
const markGone = statement(
  'secrets.mark_gone',
  `update ops.secret_states
      set reason = 'Gone', message = 'It is not in the store any more.', due_at = null, observed_at = clock_timestamp()
    where secret <> all ($1::text[]) and reason <> 'Gone'`,
);
const dropStates = statement(
  'secrets.drop_states',
  `delete from ops.secret_states
    where secret <> all ($1::text[]) and reason = 'Gone' and observed_at < clock_timestamp() - interval '7 days'`,
);
// Values that a rotation ended, or that were withdrawn: where one of them is accepted again, somebody wrote it back.
const endedOf = statement<{ id: string; generation: string }>(
  'secrets.ended_generations',
  `select r.id, g.generation
     from ops.rotations r
    cross join lateral (select case when r.outcome = 'rolled_back' then r.to_generation else r.from_generation end) g (generation)
    where r.secret = $1 and g.generation = any ($2::text[])
      and (r.outcome in ('done', 'rolled_back') or (r.outcome = 'abandoned' and r.step in ('retiring', 'verifying')))
    order by r.finished_at desc limit 1`,
);
// Names of sessions are shown to everybody.
const loginSessions = statement<LoginSessions>(
  'secrets.login_sessions',
  `select coalesce(a.datname, '') as database, a.datname is not distinct from current_database() as ours, count(*)::int as sessions
     from pg_catalog.pg_stat_activity a where a.usename = $1 and a.pid <> pg_backend_pid() group by 1, 2 order by 1`,
);
const setVerifier = statement('secrets.set_login_verifier', 'select ops.set_login_verifier($1, $2)');
const endSessions = statement<{ ended: number }>(
  'secrets.end_login_sessions',
  'select ops.end_login_sessions($1) as ended',
);
const purgeRotations = statement(
  'secrets.purge_rotations',
  `delete from ops.rotations where id in (
     select r.id from ops.rotations r
      where r.finished_at < now() - $1::int * interval '1 day'
        and exists (select from ops.rotations n where n.secret = r.secret and n.finished_at > r.finished_at)
      order by r.finished_at limit $2)`,
);
const countRotations = statement<{ count: number }>(
  'secrets.count_old_rotations',
  `select count(*)::int as count from ops.rotations r
    where r.finished_at < now() - $1::int * interval '1 day'
      and exists (select from ops.rotations n where n.secret = r.secret and n.finished_at > r.finished_at)`,
);
const purgeRequests = statement(
  'secrets.purge_requests',
  `delete from ops.rotation_requests where id in (
     select q.id from ops.rotation_requests q
      where q.requested_at < now() - $1::int * interval '1 day' order by q.requested_at limit $2)`,
);
const countRequests = statement<{ count: number }>(
  'secrets.count_old_requests',
  `select count(*)::int as count from ops.rotation_requests q where q.requested_at < now() - $1::int * interval '1 day'`,
);

export const now = async (tx: Tx): Promise<Date> => (await tx.one(databaseNow)).now;
export const running = (tx: Tx): Promise<RotationRow[]> => tx.rows(runningRotations);
export const latest = (tx: Tx, secret: string, limit: number): Promise<RotationRow[]> =>
  tx.rows(rotationsOf, [secret, limit]);
export const history = (tx: Tx, id: string): Promise<HistoryRow[]> => tx.rows(readHistory, [id]);
export const requests = (tx: Tx): Promise<RotationRequest[]> => tx.rows(openRequests);
export const request = (tx: Tx, id: string): Promise<RotationRequest | undefined> => tx.maybe(readRequest, [id]);
export const states = (tx: Tx): Promise<SecretState[]> => tx.rows(readStates);

export type NewRotation = Pick<RotationRow, 'secret' | 'kind' | 'from' | 'emergency' | 'soakS' | 'quietS'> & {
  startedBy: string;
  reason: string | null;
};

export async function start(tx: Tx, rotation: NewRotation, term: number): Promise<RotationRow> {
  const { secret, kind, from, emergency, soakS, quietS, startedBy, reason } = rotation;
  const values = [tx.newId('rot'), secret, kind, from, emergency, soakS, quietS, startedBy, reason, term];
  const row = await tx.one(insertRotation, values);
  await note(tx, row.id, 'creating', 'begun', reason, term);
  return row;
}

async function note(tx: Tx, id: string, step: string, event: StepEvent, text: string | null, term: number) {
  await tx.run(insertHistory, [id, step, event, text?.slice(0, 1_000) ?? null, term]);
}

/** Zero rows mean that the rotation is elsewhere: whoever asked looks again. */
const changed = async (tx: Tx, change: Statement, values: unknown[]) => (await tx.run(change, values)) === 1;

export async function acted(tx: Tx, r: Rotation, to: string | null, text: string | null, term: number): Promise<void> {
  if (await changed(tx, recordActed, [r.id, r.step, to, term])) await note(tx, r.id, r.step, 'acted', text, term);
}

export async function advance(tx: Tx, r: Rotation, to: Step, text: string | null, term: number): Promise<void> {
  const wasActive = to === 'reverting' && newValueInUse(r.step);
  if (await changed(tx, recordStep, [r.id, r.step, to, wasActive, term])) await note(tx, r.id, to, 'begun', text, term);
}

export async function waits(tx: Tx, r: Rotation, event: 'waits' | 'failed', why: string, term: number): Promise<void> {
  const text = why.slice(0, 1_000);
  if (await changed(tx, recordWaiting, [r.id, text, term])) await note(tx, r.id, r.step, event, text, term);
}

/** @returns false when it is in another step meanwhile: whether it may go back is to be asked again */
export async function turnBack(tx: Tx, r: Rotation, by: string, term: number): Promise<boolean> {
  const done = await changed(tx, recordBack, [r.id, term, r.step]);
  if (done) await note(tx, r.id, r.step, 'asked', `back, by ${by}`, term);
  return done;
}

export async function makeEmergency(tx: Tx, r: Rotation, by: string, term: number): Promise<void> {
  if (await changed(tx, recordEmergency, [r.id, term]))
    await note(tx, r.id, r.step, 'asked', `emergency, by ${by}`, term);
}

export async function end(tx: Tx, r: Rotation, outcome: Outcome, why: string, term: number): Promise<void> {
  if (await changed(tx, endRotation, [r.id, outcome, term]))
    await note(tx, r.id, r.step, 'ended', `${outcome}: ${why}`, term);
}

export type NewRequest = Pick<RotationRequest, 'secret' | 'action' | 'emergency' | 'reason' | 'requestedBy'>;

export const ask = (tx: Tx, r: NewRequest): Promise<RotationRequest> =>
  tx.one(insertRequest, [tx.newId('rrq'), r.secret, r.action, r.emergency, r.reason, r.requestedBy]);
export const answer = (tx: Tx, id: string, accepted: boolean, text: string): Promise<number> =>
  tx.run(answerRequest, [id, accepted, text.slice(0, 1_000)]);

export const putSecretState = (tx: Tx, s: Omit<SecretState, 'since' | 'observedAt'>): Promise<number> =>
  tx.run(putState, [s.secret, s.kind, s.generation, s.dueAt, s.reason, s.message.slice(0, 2_000)]);

/** Says of all others that they are gone; a week later they are forgotten. */
export async function keepStates(tx: Tx, secrets: readonly string[]): Promise<void> {
  await tx.run(markGone, [secrets]);
  await tx.run(dropStates, [secrets]);
}

/** Which of these generations a rotation of the secret has ended, and which rotation. */
export const endedGenerations = (tx: Tx, secret: string, generations: readonly string[]) =>
  tx.rows(endedOf, [secret, generations]);

/** Sessions of a login in one database. Logins are the same in all databases of a server. */
export type LoginSessions = { database: string; ours: boolean; sessions: number };
export const sessionsOf = (tx: Tx, login: string): Promise<LoginSessions[]> => tx.rows(loginSessions, [login]);
/** @param verifier null: the login cannot log in any more */
export const setLoginVerifier = (tx: Tx, login: string, verifier: string | null): Promise<number> =>
  tx.run(setVerifier, [login, verifier]);
export const endLoginSessions = async (tx: Tx, login: string): Promise<number> =>
  (await tx.one(endSessions, [login])).ended;

const rule = (purge: Statement, count: Statement<{ count: number }>) => (days: number) => ({
  async purge(tx: Tx, limit: number) {
    const purged = await tx.run(purge, [days, limit]);
    return { found: purged, purged };
  },
  count: async (tx: Tx) => (await tx.one(count, [days])).count,
});
/** The newest end of each secret stays: it says when the old value was last proven dead. */
export const oldRotations = rule(purgeRotations, countRotations);
export const oldRotationRequests = rule(purgeRequests, countRequests);
