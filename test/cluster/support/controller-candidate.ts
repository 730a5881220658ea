/**
 * A candidate of the controller's election that does nothing but write, as a process of its own: on its lease at the API
 * server KUBE, under the fence of ops.check_term in the database. Prints a line of JSON for what happens to it.
 *
 * SIGUSR2: the next write stops the process (SIGSTOP) between its look at the term and the write itself.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { systemClock } from '#platform/clock/index.ts';
import { createDb, sqlState, statement } from '#platform/db/index.ts';
import { createLogger } from '#platform/log/index.ts';
import { createKubeClient } from '../../../services/controller/kube/client.ts';
import { createLeaderElection } from '../../../services/controller/kube/leader.ts';
import { systemTiming } from '../../../services/controller/kube/timing.ts';

const { KUBE = '', NAMESPACE = '', LEASE = '', IDENTITY = '', DATABASE = '', RECKLESS } = process.env;
const say = (event: string, more: object = {}) => process.stdout.write(`${JSON.stringify({ event, ...more })}\n`);
const log = createLogger({ process: 'controller', stream: process.stderr });
const db = createDb({ url: DATABASE, role: 'klar_controller', poolSize: 2, log });

const checkTerm = statement('test.check_term', 'select ops.check_term($1, $2)');
const write = statement('test.write', 'insert into public.writes (who, token) values ($1, $2)');

let stopInGap = false;
process.on('SIGUSR2', () => {
  stopInGap = true;
});

const client = createKubeClient({
  endpoint: { server: KUBE, namespace: NAMESPACE, credentials: async () => ({}) },
});
const election = createLeaderElection({
  client,
  namespace: NAMESPACE,
  name: LEASE,
  identity: IDENTITY,
  clock: systemClock,
  timing: systemTiming,
  log,
  async lead(term) {
    say('term', { token: term.token });
    // One that knows of no end: what is left is the database's refusal.
    while (RECKLESS || !term.signal.aborted) {
      try {
        if (!RECKLESS) term.check();
        if (stopInGap) {
          stopInGap = false;
          process.kill(process.pid, 'SIGSTOP');
        }
        await db.withTx(async (tx) => {
          await tx.run(checkTerm, [LEASE, term.token]);
          await tx.run(write, [IDENTITY, term.token]);
        });
      } catch (error) {
        if (sqlState(error) === 'KT001') {
          const greatest = Number((error as { detail?: string }).detail);
          say('refused', { token: term.token, greatest });
          term.refused(greatest);
          if (RECKLESS) break;
        } else if (!term.signal.aborted) say('failed', { error: String(error) });
      }
      await pause(50);
    }
    say('over', { token: term.token });
  },
});
election.start();
process.once('SIGTERM', () => {
  void election.stop().then(async () => {
    client.close();
    await db.close();
  });
});
