/**
 * `klar` with one command, `probe`: a task whose effect is a row of public.effects. What it then does is said by
 * PROBE: `quick`, `hold` (until it is told to stop), `deaf` (never stops), `fail`. TIMING is JSON of its times.
 */
import { createDb, statement } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { runCli } from '../../../services/cli/main.ts';
import { taskCommand } from '../../../services/cli/task-command.ts';

const begin = statement('operations_test.begin_effect', 'insert into public.effects (run, pid) values ($1, $2)');

const probe = taskCommand({
  task: 'cleanup',
  timing: JSON.parse(process.env.TIMING ?? '{}'),
  async work({ settings, env }, { runId, signal }) {
    const db = createDb({ url: settings.DATABASE_URL_OPS?.current() ?? '', role: 'klar_ops', poolSize: 1 });
    try {
      await db.withTx((tx) => tx.run(begin, [runId, process.pid]));
      if (env.PROBE === 'fail') {
        throw fail.unavailable(
          'probe_failed',
          `Nothing at postgres://klar:hunter22secret@db:5432 for ${env.ADMIN_TOKEN}`,
        );
      }
      if (env.PROBE === 'hold' || env.PROBE === 'deaf') {
        await new Promise((_, reject) => {
          const idle = setInterval(() => {}, 60_000);
          if (env.PROBE === 'deaf') return;
          signal.addEventListener('abort', () => {
            clearInterval(idle);
            reject(new Error('stopped half-way'));
          });
        });
      }
    } finally {
      if (env.PROBE !== 'deaf') await db.close();
    }
    return { detail: { pid: process.pid }, text: 'done' };
  },
});

const stopped = new AbortController();
process.once('SIGTERM', () => stopped.abort(new Error('SIGTERM')));
process.exitCode = await runCli({
  argv: ['probe', '--json', ...process.argv.slice(2)],
  stdout: process.stdout,
  stderr: process.stderr,
  signal: stopped.signal,
  commands: [{ name: 'probe', summary: 'A task of the tests', load: async () => probe }],
});
