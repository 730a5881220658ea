import { deepEqual, equal, match } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  canonicalDocument,
  compileFlags,
  createFlags,
  FLAGS,
  type FlagStore,
  flagsVersion,
  insertFlagSet,
  openFlags,
  renderLive,
} from '#domain/flags/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { createLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';
import { json, sample } from '../../unit/flags/documents.ts';

function live(sequence: number, position: 'on' | 'off') {
  const document = sample();
  Object.assign(document.flags['checkout-enabled'] as object, { defaultVariant: position });
  const result = compileFlags(json(document), FLAGS);
  if (!result.ok) throw new Error('bad sample');
  return { sequence, version: result.set.version, document: canonicalDocument(result.set.document) };
}

describe('flags of a process in a cluster', () => {
  let database: TestDatabase;
  let folder: string;
  let file: string;
  const stores: FlagStore[] = [];
  const log = createLogger({ process: 'test', level: 'silent' });

  beforeEach(async () => {
    database = await createTestDatabase();
    folder = mkdtempSync(path.join(tmpdir(), 'klar-live-'));
    file = path.join(folder, 'live.json');
  });
  afterEach(async () => {
    for (const store of stores.splice(0)) store.close();
    await database.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const metrics = createMetrics({ process: 'test' });
  const open = (role: 'klar_api' | 'klar_ingest' | 'klar_worker' = 'klar_api', pollMs = 20) => {
    const store = openFlags({ file, db: database.db(role), clock: systemClock, log, metrics, pollMs });
    stores.push(store);
    return store;
  };
  const apply = (sequence: number, position: 'on' | 'off') =>
    database
      .db('klar_controller')
      .withTx((tx) => insertFlagSet(tx, { ...live(sequence, position), term: 1, changedBy: undefined }));
  const has = (store: FlagStore, sequence: number) =>
    until(() => store.state().sequence === sequence, { what: `sequence ${sequence}` });

  it('are what the database says soon after it does, for every role that serves', async () => {
    writeFileSync(file, renderLive(live(1, 'on')));
    for (const role of ['klar_api', 'klar_ingest', 'klar_worker'] as const) {
      const store = open(role);
      const flags = await createFlags(store, `test ${role}`);
      equal(flags.isOn('checkout-enabled'), true);
      await apply(2, 'off');
      await has(store, 2);
      deepEqual([flags.isOn('checkout-enabled'), store.state().source], [false, 'database']);
      await flags.close();
    }
  });

  it('come from the file while the database is away', async () => {
    writeFileSync(file, renderLive(live(3, 'on')));
    const store = openFlags({
      file,
      db: database.db('klar_api', { url: 'postgres://nobody:x@127.0.0.1:1/none', acquireTimeoutMs: 100 }),
      clock: systemClock,
      log,
      metrics,
      pollMs: 20,
    });
    stores.push(store);
    equal(store.state().sequence, 3);
    writeFileSync(file, renderLive(live(4, 'off')));
    await has(store, 4);
    equal(store.state().source, 'file');
    match(await metrics.registry.metrics(), /klar_flags_polls_total\{[^}]*result="failed"[^}]*\} [1-9]/);
  });

  it('stay when the file or a restored database is older', async () => {
    writeFileSync(file, renderLive(live(5, 'on')));
    await apply(6, 'off');
    const store = open();
    await has(store, 6);
    await database.asSuperuser('delete from ops.flag_sets');
    await apply(4, 'on');
    store.checkNow();
    const asked = database.db('klar_api');
    await asked.withTx(async () => {});
    equal(store.state().sequence, 6);
    await apply(7, 'on');
    await has(store, 7);
  });

  it('are a document of one’s own where there is one, whatever the database says', async () => {
    await apply(9, 'off');
    writeFileSync(file, json(sample()));
    const store = open();
    await new Promise((resolve) => setTimeout(resolve, 100));
    deepEqual([store.state().sequence, store.state().source], [null, 'file']);
  });

  it('keep the last good set when the database has one that this code refuses, and fetch it once', async () => {
    writeFileSync(file, renderLive(live(1, 'on')));
    await apply(2, 'off');
    const store = open();
    await has(store, 2);
    await database.asSuperuser(
      `insert into ops.flag_sets (sequence, version, document, term) values (3, 'aaaaaaaaaaaa', '{"flags":{}}', 1)`,
    );
    await until(() => store.state().problem !== null);
    const { version, problem } = flagsVersion(store) as { version: string; problem: { source: string; text: string } };
    deepEqual([version, problem.source], [live(2, 'off').version, 'database']);
    match(problem.text, /^flags .*is empty/);
    await apply(4, 'on');
    await has(store, 4);
    equal(store.state().problem, null);
  });
});
