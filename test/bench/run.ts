/**
 * `npm run bench`: every measured promise in one run, with ratios, because absolute numbers say more about the machine
 * than about the code. `--short` for CI. A goal that is missed is printed and does not fail the run; a broken end check
 * (rows that are not acks, duplicates) does.
 */
import { benchIngest } from './ingest.ts';
import { type Goal, stdoutReport } from './report.ts';

const short = process.argv.includes('--short');
const benches: [string, typeof benchIngest][] = [['ingest', benchIngest]];

const goals: Goal[] = [];
for (const [name, bench] of benches) {
  stdoutReport.line(`\n--- ${name}`);
  goals.push(...(await bench(stdoutReport, short)));
}
stdoutReport.line('\n--- goals');
for (const goal of goals) stdoutReport.line(`${goal.met ? 'met   ' : 'MISSED'}  ${goal.name}: ${goal.shown}`);
if (goals.some((goal) => !goal.met && goal.name.includes('rows = acks'))) process.exitCode = 1;
