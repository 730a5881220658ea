// Waits until PostgreSQL accepts connections; the Job's deadline ends it when that never happens.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const secrets = '/etc/klar/secrets';
const read = (name) => {
  try {
    return readFileSync(`${secrets}/${name}/current`, 'utf8').trim();
  } catch {
    return undefined;
  }
};
const answers = (host, port) =>
  new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 3000 });
    const end = (ok) => {
      socket.destroy();
      resolve(ok);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });

let told = '';
const say = (text) => {
  if (told !== text) process.stdout.write(`${text}\n`);
  told = text;
};

for (; ; await delay(500)) {
  // Read again each time: the Secret may come after the pod.
  const url = read('DATABASE_DIRECT_URL') ?? read('DATABASE_URL_MIGRATOR');
  if (url === undefined) {
    say(`waiting for ${secrets}/DATABASE_URL_MIGRATOR/current (key DATABASE_URL_MIGRATOR of the Secret)`);
    continue;
  }
  const { hostname, port } = new URL(url);
  if (await answers(hostname, Number(port || 5432))) break;
  say(`waiting for ${hostname}:${port || 5432}`);
}
