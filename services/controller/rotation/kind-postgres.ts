import { rotationStore } from '#domain/secrets/index.ts';
import { randomToken } from '#platform/crypto/index.ts';
import { scramVerifier, sqlState, type Tx, tryLogin } from '#platform/db/index.ts';
import { type KindAdapter, type StepInput, Unproven } from './kind.ts';

const LOGIN = /^klar_[a-z]+_[ab]$/;

const loginOf = (url: string): string => {
  const login = decodeURIComponent(new URL(url).username);
  if (!LOGIN.test(login)) throw new Error(`its user is ${login}: only logins that end in _a or _b rotate`);
  return login;
};
const twinOf = (login: string) => `${login.slice(0, -1)}${login.endsWith('a') ? 'b' : 'a'}`;

/** DATABASE_URL_<ROLE>: the two logins of a role take turns, so that one's password changes while the other one serves. */
export const postgresKind: KindAdapter = {
  create({ from }) {
    const url = new URL(from);
    url.username = twinOf(loginOf(from));
    url.password = randomToken(24);
    return url.href;
  },
  provision: async (at) => {
    const url = new URL(at.to ?? '');
    await setPassword(at, loginOf(at.to ?? ''), scramVerifier(decodeURIComponent(url.password)));
    return undefined;
  },
  async test({ to = '' }) {
    const answer = await tryLogin(to);
    if (answer.as === 'refused') {
      throw new Error('the new login is refused; behind a PgBouncer with a list of users, put it there');
    }
    if (answer.as === 'unknown') throw new Error(`the new login could not be tried (${answer.why})`);
  },
  usedElsewhere: async ({ db }, dying) => {
    const login = loginOf(dying);
    const sessions = await db.withTx((tx) => rotationStore.sessionsOf(tx, login), { readOnly: true });
    return sessions > 0 ? [`${sessions} sessions of ${login}`] : [];
  },
  retire: (at) => endLogin(at, at.from),
  async prove({ from, to = '' }) {
    const current = await tryLogin(to);
    // A server that refuses everybody would prove nothing.
    if (current.as !== 'in') throw new Unproven('the new login could not be tried');
    const old = await tryLogin(from);
    if (old.as === 'in') throw new Unproven(`${loginOf(from)} still logs in with the old password`);
    if (old.as === 'unknown') throw new Unproven(`the old login could not be tried (${old.why})`);
  },
  withdraw: async (at) => {
    if (at.to !== undefined) await endLogin(at, at.to);
  },
};

/** No password, and no session that outlives it. */
async function endLogin(at: StepInput, url: string): Promise<void> {
  const login = loginOf(url);
  await setPassword(at, login, null, (tx) => rotationStore.endLoginSessions(tx, login));
}

async function setPassword(
  { db, fence }: StepInput,
  login: string,
  verifier: string | null,
  then?: (tx: Tx) => Promise<unknown>,
): Promise<void> {
  try {
    await db.withTx(async (tx) => {
      await fence(tx);
      await rotationStore.setLoginVerifier(tx, login, verifier);
      await then?.(tx);
    });
  } catch (error) {
    if (sqlState(error) !== '42501') throw error;
    throw new Error('the database does not let us change passwords: run klar roles ensure once more', { cause: error });
  }
}
