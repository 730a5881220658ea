// Waits until PostgreSQL accepts connections and says why it does not. Arguments: hook, job or external; the Job's deadline, s.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const [mode, deadlineS] = process.argv.slice(-2);
const hook = mode === 'hook';
// A hook ends by itself, before helm's own 5 minutes and before the deadline: Kubernetes deletes the pod of a Job that is
// beyond its deadline, and the reason would be gone with its log. A plain Job may wait for as long as it has.
const giveUpAt = hook ? performance.now() + Math.min(240, Number(deadlineS) * 0.8) * 1000 : Number.POSITIVE_INFINITY;
const secrets = '/etc/klar/secrets';
const read = (name) => {
  try {
    return readFileSync(`${secrets}/${name}/current`, 'utf8').trim();
  } catch {
    return undefined;
  }
};
const silent = 'no answer (do networkPolicies.database and the firewalls on the way let it through?)';
/** Why nothing answers there; undefined: something does. */
const refusal = (host, port) =>
  new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 3000 });
    const end = (why) => {
      socket.destroy();
      resolve(why);
    };
    socket.once('connect', () => end());
    socket.once('timeout', () => end(silent));
    socket.once('error', (error) => end(error.code === 'ETIMEDOUT' ? silent : (error.code ?? error.message)));
  });

let told = '';
const say = (text) => {
  if (told !== text) process.stdout.write(`${text}\n`);
  told = text;
};

for (; ; await delay(500)) {
  // Read again each time: the Secret may come after the pod. A hook's is there before it, or never.
  const url = read('DATABASE_DIRECT_URL') ?? read('DATABASE_URL_MIGRATOR');
  if (url === undefined) {
    const file = `${secrets}/DATABASE_URL_MIGRATOR/current`;
    say(`${hook ? 'missing:' : 'waiting for'} ${file} (add the key DATABASE_URL_MIGRATOR to the Secret)`);
    if (!hook) continue;
    process.exitCode = 78;
    break;
  }
  // What is no URL `klar migrate` tells without its password, which the error of a parser would quote.
  const { hostname = '', port = '' } = URL.canParse(url) ? new URL(url) : {};
  if (hostname === '') break;
  const why = await refusal(hostname.replace(/^\[|\]$/g, ''), Number(port || 5432));
  if (why === undefined) break;
  say(`waiting for ${hostname}:${port || 5432}: ${why}`);
  if (performance.now() < giveUpAt) continue;
  process.stdout.write('gave up: make the database reachable, then run helm upgrade again\n');
  process.exitCode = 69;
  break;
}
