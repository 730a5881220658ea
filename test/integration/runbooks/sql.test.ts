import { equal, ok } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { canonicalDocument, compileFlags, FLAGS, insertFlagSet, openFlags } from '#domain/flags/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';
import { json, sample } from '../../unit/flags/documents.ts';

const FOLDER = path.resolve(import.meta.dirname, '../../../charts/klar/runbooks');
/** What a person fills in. */
const VALUES: Record<string, string> = { '<pid>': '0', '<queue>': 'notifications.deliver' };

/** The SQL of each `klar_psql "..."` of a runbook, as the shell hands it on. */
async function sqlOf(runbook: string): Promise<string[]> {
  const blocks = readFileSync(path.join(FOLDER, runbook), 'utf8').matchAll(/```sh\n([\s\S]*?)```/g);
  const calls = [...blocks].flatMap(([, block = '']) => block.match(/^\s*klar_psql "(?:[^"\\]|\\.)*"/gm) ?? []);
  const shell = `klar_psql() { printf '%s' "$1"; }`;
  return Promise.all(
    calls.map(async (call) => {
      const filled = call.replace(/<[a-z -]+>/g, (name) => VALUES[name] ?? name);
      return (await promisify(execFile)('sh', ['-c', `${shell}\n${filled}`])).stdout;
    }),
  );
}

describe('the SQL of the runbooks', function () {
  this.timeout(60_000);
  let database: TestDatabase;
  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.close());

  it('runs on the schema as it is', async () => {
    const client = new pg.Client({ connectionString: database.superuserUrl });
    await client.connect();
    let ran = 0;
    try {
      for (const runbook of readdirSync(FOLDER)) {
        for (const sql of await sqlOf(runbook)) {
          await client.query('begin');
          await client.query(sql).catch((error) => {
            throw new Error(`${runbook}: ${sql}`, { cause: error });
          });
          await client.query('rollback');
          ran += 1;
        }
      }
    } finally {
      await client.end();
    }
    ok(ran > 8, `${ran} statements`);
  });

  it('turns a switch by hand where there is no controller', async () => {
    const compiled = compileFlags(json(sample()), FLAGS);
    if (!compiled.ok) throw new Error('bad sample');
    const { version, document } = compiled.set;
    const live = { sequence: 41, version, document: canonicalDocument(document) };
    await database.db('klar_controller').withTx((tx) => insertFlagSet(tx, { ...live, term: 1, changedBy: undefined }));
    const [look, turn] = await sqlOf('KlarFlagsLagging.md');
    equal((await database.asSuperuser(look ?? '')).length, 1);
    await database.asSuperuser(turn ?? '');
    const store = openFlags({
      file: undefined,
      db: database.db('klar_api'),
      clock: systemClock,
      log: silentLogger(),
      metrics: createMetrics(),
    });
    try {
      await until(() => store.state().sequence === 42, { what: 'the set made by hand', timeoutMs: 20_000 });
      equal(store.state().problem, null);
      equal(store.current()?.flags.get('checkout-enabled')?.evaluate({}).value, false);
    } finally {
      store.close();
    }
  });
});
