import { rotationStore } from '#domain/secrets/index.ts';
import { randomToken } from '#platform/crypto/index.ts';
import { scramVerifier, sqlState, type Tx, tryLogin } from '#platform/db/index.ts';
import { type KindAdapter, type StepInput, Unproven } from './kind.ts';

const LOGIN = /^klar_[a-z]+_[ab]$/;

const loginOf = (url: string): string => {
  // The error of `new URL` carries the whole text, and with it the password.
  if (!URL.canParse(url)) throw new Error('it is no URL: postgres://<login>:<password>@<host>:<port>/<database>');
  const login = decodeURIComponent(new URL(url).username);
  if (!LOGIN.test(login)) throw new Error(`its user is ${login}: only logins that end in _a or _b rotate`);
  return login;
};
const twinOf = (login: string) => `${login.slice(0, -1)}${login.endsWith('a') ? 'b' : 'a'}`;

/**
 * DATABASE_URL_<ROLE>: the two logins of a role take turns, so that one's password changes while the other one serves.
 * @param monotonic milliseconds that no step of a clock changes
 */
export function postgresKind(monotonic: () => number = () => performance.now()): KindAdapter {
  /** By login: since when it is known to be without a session, in which step of which rotation. */
  const silent = new Map<string, { of: string; since: number }>();
  return {
    create({ from }) {
      const twin = twinOf(loginOf(from));
      const url = new URL(from);
      url.username = twin;
      url.password = randomToken(24);
      return url.href;
    },
    async provision(at) {
      const login = loginOf(at.to ?? '');
      const url = new URL(at.to ?? '');
      // Nobody of ours has its password before this, and whoever is in other databases is not of ours.
      const [twins, others] = [await sessionsOf(at, login), await sessionsOf(at, loginOf(at.from))];
      const strange = [...twins, ...others.filter(({ ours }) => !ours)];
      if (strange.length > 0) {
        const who = strange.map(({ sessions, login, database }) => `${sessions} sessions of ${login} in ${database}`);
        throw new Error(
          `${who.join(', ')} are not ours: logins belong to the whole server, and another installation on it would lose its password. End them, or give it a server of its own`,
        );
      }
      await setPassword(at, login, scramVerifier(decodeURIComponent(url.password)));
      return undefined;
    },
    async test({ to = '' }) {
      const answer = await tryLogin(to);
      if (answer.as === 'refused') {
        throw new Error('the new login is refused; behind a PgBouncer with a list of users, put it there');
      }
      if (answer.as === 'unknown') throw new Error(`the new login could not be tried (${answer.why})`);
    },
    // Who logs in from a CronJob or a command line is no pod that could be asked: the server's sessions are watched instead,
    // for as long as pods have to be silent.
    async usedElsewhere(at, dying) {
      const login = loginOf(dying);
      const sessions = (await sessionsOf(at, login)).reduce((sum, one) => sum + one.sessions, 0);
      if (sessions > 0) {
        silent.delete(login);
        return [`${sessions} sessions of ${login}`];
      }
      const known = silent.get(login);
      const { since } = known?.of === at.key ? known : { since: monotonic() };
      silent.set(login, { of: at.key, since });
      const { quietS } = at.rotation;
      // Without the seconds that passed: each text that differs is a row of the history.
      return monotonic() - since < quietS * 1_000 ? [`${login} has to be without a session for ${quietS} s`] : [];
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
    // Only what this rotation gave it: a login that refuses the new password has none of ours, and may be another
    // installation's, which is why provisioning was refused.
    withdraw: async (at) => {
      if (at.to === undefined) return;
      const answer = await tryLogin(at.to);
      if (answer.as === 'unknown') throw new Error(`the new login could not be tried (${answer.why})`);
      if (answer.as === 'in') await endLogin(at, at.to);
    },
  };
}

async function sessionsOf({ db }: StepInput, login: string) {
  const found = await db.withTx((tx) => rotationStore.sessionsOf(tx, login), { readOnly: true });
  return found.map((one) => ({ ...one, login }));
}

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
    if (sqlState(error) === '55006') {
      throw new Error(
        `the password of ${login} was set by the installation in another database of this server, which its comment names: give that one a server of its own, or drop the comment if it is gone`,
        { cause: error },
      );
    }
    if (sqlState(error) !== '42501') throw error;
    throw new Error('the database does not let us change passwords: run klar roles ensure once more', { cause: error });
  }
}
