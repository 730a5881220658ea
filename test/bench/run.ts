import { parseArgs } from 'node:util';
import { benchController } from './controller.ts';
import { benchIngest } from './ingest.ts';
import { load, machine } from './machine.ts';
import { benchRead } from './read.ts';
import { type Goal, stdoutReport } from './report.ts';
import { benchRequest } from './request.ts';
import { benchRollout } from './rollout.ts';
import { benchStart } from './start.ts';

const BENCHES: Record<string, typeof benchIngest> = {
  start: benchStart,
  request: benchRequest,
  read: benchRead,
  ingest: benchIngest,
  controller: benchController,
  rollout: benchRollout,
};
/** Without names: what needs nothing but this machine. */
const LOCAL = ['start', 'request', 'read', 'ingest', 'controller'];

const HELP = `Usage: npm run bench -- [options] [bench...]

Measures what Klar promises about speed and memory, each beside what bounds it and in the same run, because absolute
numbers say more about the machine than about the code. Without names: all of ${LOCAL.join(', ')}.

  start    cold start and idle memory of api, webhook-ingest and worker
  request  processor time and round trips of one request to the api, at the mix of the cluster tests' load
  read     reads of one tenant, with and without row level security
  ingest   acks a second and latency of webhook-ingest, beside express with one INSERT a request
  controller  flag evaluations beside flagd-core's; reconcile latency, CPU, memory and sockets of the controller, against
           a stand-in of the API server, or the real one where KUBECONFIG names it
  rollout  what clients notice of a rolling restart, beside a plain web server's; needs a cluster, as
           npm run test:cluster does (its --help says which variables)

  --short  a fraction of the time, for CI; the numbers are rougher
  --help   this text

A goal that is missed is printed as MISSED and does not fail the run. Exit 1: a check at the end failed (rows that are
not acks, duplicates, rows that differ), so the numbers mean nothing. Needs PostgreSQL's pgbench for ingest.
`;

const EXIT_USAGE = 64;

function options(): { short: boolean; names: string[] } {
  const given = (() => {
    try {
      return parseArgs({
        options: { short: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h' } },
        allowPositionals: true,
      });
    } catch (error) {
      process.stderr.write(`${(error as Error).message.split('. ')[0]}.\n\n${HELP}`);
      return process.exit(EXIT_USAGE);
    }
  })();
  if (given.values.help) {
    process.stdout.write(HELP);
    process.exit(0);
  }
  const unknown = given.positionals.filter((name) => !Object.hasOwn(BENCHES, name));
  if (unknown.length > 0) {
    process.stderr.write(`There is no bench ${unknown.join(', ')}.\n\n${HELP}`);
    process.exit(EXIT_USAGE);
  }
  return {
    short: given.values.short,
    names: given.positionals.length > 0 ? given.positionals : LOCAL,
  };
}

const { short, names } = options();
stdoutReport.line(machine());
const goals: Goal[] = [];
for (const name of names) {
  stdoutReport.line(`\n--- ${name}`);
  goals.push(...((await BENCHES[name]?.(stdoutReport, short)) ?? []));
}
stdoutReport.line(`\n--- goals (load average now: ${load()})`);
for (const goal of goals) {
  const verdict = goal.met ? 'met   ' : goal.endCheck ? 'BROKEN' : 'MISSED';
  stdoutReport.line(`${verdict}  ${goal.name}: ${goal.shown}`);
}
if (goals.some((goal) => goal.endCheck && !goal.met)) process.exitCode = 1;
