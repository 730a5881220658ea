import { parseArgs } from 'node:util';
import { environment } from '#platform/config/index.ts';
import { runMain } from '#platform/lifecycle/index.ts';
import { createProgress } from './progress.ts';
import { startAllInOne } from './start.ts';

const HELP = `Usage: npm start [-- <options>]

Runs all of Klar in one process tree: PostgreSQL, api, webhook-ingest, worker, and the sandbox for Stripe and mail.
Data is kept in .klar/ (KLAR_DATA_DIR), so that a restart continues.

  --fresh    start over: remove the data of earlier runs
  --no-demo  without the demo school
  --help     this text

PORT=3010 npm start                      another port
STRIPE_SECRET_KEY=sk_test_... npm start  Stripe itself instead of the sandbox
KLAR_WORKER_ENABLED=false npm start      without the worker
`;

const OPTIONS = {
  fresh: { type: 'boolean' },
  'no-demo': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;
const EXIT_USAGE = 64;

function options() {
  try {
    return parseArgs({ options: OPTIONS }).values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message.split('. ')[0]}.\n\n${HELP}`);
    return process.exit(EXIT_USAGE);
  }
}

if (import.meta.main) {
  const given = options();
  if (given.help) {
    process.stdout.write(HELP);
  } else {
    await runMain(async (signal) => {
      const progress = createProgress(process.stdout, { signal });
      const running = await startAllInOne({
        env: environment(),
        fresh: given.fresh === true,
        demo: given['no-demo'] !== true,
        progress,
        terminal: process.stdout,
      });
      process.stdout.write(`${running.card}\n`);
      return running;
    });
  }
}
