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
  kubectl,
  psql,
  purchaseJourney,
  sql,
} from './support/index.ts';

const GUIDE = path.resolve(import.meta.dirname, '../../docs/disaster-recovery.md');
const DEPLOYMENTS = ['api', 'webhook-ingest', 'worker', 'controller'];
/** Of each, as the guide and the tests' values say. */
const REPLICAS = 2;
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

/** Gives the installation its database, pods and schedules again, wherever the drill ended; tells what it could not. */
async function putBack(): Promise<void> {
  const failures: unknown[] = [];
  const step = async (act: () => Promise<unknown>) => {
    await act().catch((error: unknown) => failures.push(error));
  };
  await step(removeTaskJobs);
  await step(() =>
    kubectl(['delete', 'job', 'klar-restore', 'klar-backup-after-restore', '--ignore-not-found', '--wait']),
  );
  await step(ownDatabase);
  await step(() =>
    kubectl(['scale', 'deployment', ...DEPLOYMENTS.map((name) => `klar-${name}`), `--replicas=${REPLICAS}`]),
  );
  for (const name of ['klar-backup', 'klar-backup-prune'])
    await step(() => kubectl(['patch', 'cronjob', name, '-p', '{"spec":{"suspend":false}}']));
  for (const name of DEPLOYMENTS) await step(() => allReady(name, REPLICAS));
  if (failures.length > 0) throw new AggregateError(failures, `not put back: ${failures.join('; ')}`);
}

/** The restored database where the restore came to its end, else the one that was put aside. */
async function ownDatabase(): Promise<void> {
  const found = await sql<{ name: string; closed: boolean }>(
    `select datname as name, datconnlimit = 0 as closed from pg_database where datname in ('klar', 'klar_broken')`,
    'postgres',
  );
  const of = (name: string) => found.find((database) => database.name === name);
  if (of('klar_broken') !== undefined) {
    const restored = of('klar')?.closed === false;
    await psql(
      restored
        ? 'drop database klar_broken with (force)'
        : 'drop database if exists klar with (force); alter database klar_broken rename to klar',
      'postgres',
    );
  }
  await psql('alter database klar allow_connections true', 'postgres');
}

describe('the drill of docs/disaster-recovery.md', () => {
  let klar: Installation;
  before(async () => {
    klar = await installation();
  });
  // A drill that fails midway has stopped everything: what comes after it needs a service.
  after(() => putBack());

  it('brings a database back by the commands as they are written there', async () => {
    await purchaseJourney();
    await taskJob('klar-backup', 'backup-before-drill');
    assert.equal(await jobEnd('backup-before-drill'), 'complete');
    // `helm test`, which is among the commands, sends an event of its own: those up to here are counted.
    const [newest] = await sql<{ at: string }>('select max(received_at)::text as at from inbox.events');
    const count = async () =>
      (
        await sql<Record<string, number>>(`select (select count(*) from app.orders)::int as orders,
          (select count(*) from app.payments)::int as payments, (select count(*) from app.tenants)::int as tenants,
          (select count(*) from inbox.events where received_at <= '${newest?.at}')::int as events`)
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
    for (const component of DEPLOYMENTS) await allReady(component, REPLICAS);
    assert.equal(await jobEnd('klar-backup-after-restore'), 'complete');
    await purchaseJourney();
  });
});
