import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { removeTaskJobs, taskJob } from './support/backup-pods.ts';
import {
  allReady,
  type Installation,
  installation,
  jobEnd,
  psql,
  purchaseJourney,
  sql,
  tryKubectl,
} from './support/index.ts';

const GUIDE = path.resolve(import.meta.dirname, '../../docs/disaster-recovery.md');
/** What the guide prints as expected, and what it asks for. */
const REHEARSED = /The backup is whole and can be read, klar is fit for it\. Nothing was changed\./;
const QUESTION = /Type the name of the database/;

/** The commands of each step of the drill, as a person would paste them; what is indented is for another case. */
function stepsOfGuide(): { title: string; commands: string[] }[] {
  const [, drill = ''] = /^## The drill$([\s\S]*?)^## /m.exec(readFileSync(GUIDE, 'utf8')) ?? [];
  return drill
    .split(/^### /m)
    .slice(1)
    .map((step) => ({
      title: step.slice(0, step.indexOf('\n')),
      commands: [...step.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block),
    }));
}

/** Functions that a block of the guide defines for those after it. */
const functionsIn = (block: string) => /^\w+\(\) \{[\s\S]*?\}$/m.exec(block)?.[0] ?? '';

/** Runs a block of the guide on a terminal, as `-it` needs one, and answers its question. */
function paste(script: string, namespace: string, answer: string): Promise<string> {
  const child = spawn(
    'script',
    ['--quiet', '--return', '--flush', '--command', 'bash -euo pipefail -c "$SCRIPT"', '/dev/null'],
    {
      env: { ...process.env, NS: namespace, SCRIPT: script },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: 600_000,
    },
  );
  let printed = '';
  let answered = false;
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      printed += chunk;
      if (answered || !QUESTION.test(printed)) return;
      answered = true;
      child.stdin.write(`${answer}\r`);
    });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve(printed) : reject(new Error(`exit ${code} of\n${script}\n${printed.slice(-4_000)}`)),
    );
  });
}

describe('the drill of docs/disaster-recovery.md', () => {
  let klar: Installation;
  before(async () => {
    klar = await installation();
  });
  after(async () => {
    await removeTaskJobs();
    await tryKubectl(['delete', 'job', 'klar-restore', 'klar-backup-after-restore', '--ignore-not-found']);
    await psql('drop database if exists klar_broken');
  });

  it('brings a database back by the commands as they are written there', async () => {
    await purchaseJourney();
    await taskJob('klar-backup', 'backup-before-drill');
    assert.equal(await jobEnd('backup-before-drill'), 'complete');
    const count = async () =>
      (
        await sql<Record<string, number>>(`select (select count(*) from app.orders)::int as orders,
          (select count(*) from app.payments)::int as payments, (select count(*) from app.tenants)::int as tenants,
          (select count(*) from inbox.events)::int as events`)
      )[0];
    const before = await count();
    // The disaster.
    await psql('truncate app.orders cascade');
    assert.equal((await count())?.orders, 0);

    let functions = '';
    const steps = stepsOfGuide();
    assert.equal(steps.length, 7, 'the steps of the guide');
    for (const { title, commands } of steps) {
      const from = performance.now();
      for (const block of commands) {
        functions += `${functionsIn(block)}\n`;
        const printed = await paste(`${functions}\n${block}`, klar.namespace, 'klar');
        if (title.startsWith('4.')) assert.match(printed, REHEARSED);
      }
      process.stdout.write(`      ${title}: ${((performance.now() - from) / 1_000).toFixed(1)} s\n`);
    }
    assert.deepEqual(await count(), before, 'what was backed up is there again');
    for (const component of ['api', 'webhook-ingest', 'worker']) await allReady(component, 2);
    assert.equal(await jobEnd('klar-backup-after-restore'), 'complete');
    await purchaseJourney();
  });
});
