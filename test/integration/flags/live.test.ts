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
  startFlags,
} from '#domain/flags/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { createLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { startTcpProxy, throughProxy } from '../../support/tcp-proxy.ts';
import { until } from '../../support/until.ts';
import { json, sample } from '../../unit/flags/documents.ts';

function live(sequence: number, position: 'on' | 'off') {
  const document = sample();
  Object.assign(document.flags['checkout-enabled'] as object, { defaultVariant: position });
  const result = compileFlags(json(document), FLAGS);
  if (!result.ok) throw new Error('bad sample');
  return { sequence, version: result.set.version, document: canonicalDocument(result.set.document) };
}

describe('flags of a process in a cluster', function () {
  this.timeout(60_000);
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
  const open = (role: 'klar_api' | 'klar_ingest' | 'klar_worker' = 'klar_api', pollMs = 20, from = file) => {
    const store = openFlags({ file: from, db: database.db(role), clock: systemClock, log, metrics, pollMs });
    stores.push(store);
    return store;
  };
  const apply = (sequence: number, position: 'on' | 'off') =>
    database
      .db('klar_controller')
      .withTx((tx) => insertFlagSet(tx, { ...live(sequence, position), term: 1, changedBy: undefined }));
  const has = (store: FlagStore, sequence: number) =>
    until(() => store.state().sequence === sequence, { what: `sequence ${sequence}`, timeoutMs: 20_000 });

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
    const own = path.join(folder, 'flags.json');
    writeFileSync(own, json(sample()));
    const store = open('klar_api', 20, own);
    equal(store.answered(), true);
    await new Promise((resolve) => setTimeout(resolve, 100));
    deepEqual([store.state().sequence, store.state().source], [null, 'file']);
  });

  it('are never a bare document in the place of the controller’s: it is told, and the database goes on counting', async () => {
    writeFileSync(file, renderLive(live(1, 'on')));
    const store = open();
    writeFileSync(file, json(sample()));
    await until(() => store.state().problem?.source === 'file', { what: 'the problem', timeoutMs: 20_000 });
    match(store.state().problem?.text ?? '', /^the document is not what the controller writes: it has no sequence/);
    deepEqual([store.state().sequence, store.state().version], [1, live(1, 'on').version]);
    await apply(2, 'off');
    await has(store, 2);
    writeFileSync(file, renderLive(live(2, 'off')));
    await until(() => store.state().problem === null, { what: 'the healed file', timeoutMs: 20_000 });

    // At a start there is nothing to keep: the code's defaults, until the database says.
    writeFileSync(file, json(sample()));
    await database.asSuperuser('delete from ops.flag_sets');
    const fresh = open();
    equal(fresh.state().version, null);
    await apply(3, 'off');
    await has(fresh, 3);
  });

  it('are not another set under the same sequence, which is told', async () => {
    writeFileSync(file, renderLive(live(5, 'on')));
    const store = open();
    writeFileSync(file, renderLive(live(5, 'off')));
    await until(() => store.state().problem !== null, { what: 'the problem', timeoutMs: 20_000 });
    match(store.state().problem?.text ?? '', /^sequence has sequence 5 with version .* is version .* here/);
    equal(store.state().version, live(5, 'on').version);
    writeFileSync(file, renderLive(live(6, 'off')));
    await has(store, 6);
    equal(store.state().problem, null);
  });

  it('arrive within seconds while the connections that ask for them hang', async () => {
    const proxy = await startTcpProxy(Number(new URL(database.superuserUrl).port));
    try {
      // A worker's: 30 s until an unanswered statement is given up.
      const db = database.db('klar_worker', { url: throughProxy(database.url('klar_worker'), proxy) });
      const store = openFlags({ file: undefined, db, clock: systemClock, log, metrics });
      stores.push(store);
      await apply(1, 'on');
      await has(store, 1);
      proxy.hang();
      await apply(2, 'off');
      // By a second question over another connection; without that and a limit of its own it takes the pool's 30 s.
      await until(() => store.state().sequence === 2, { what: 'the flip', timeoutMs: 15_000 });
      // With the second one hanging, too: measured 3 s.
      proxy.hang();
      await apply(3, 'on');
      await until(() => store.state().sequence === 3, { what: 'the flip with both hanging', timeoutMs: 15_000 });
    } finally {
      await proxy.close();
    }
  });

  it('arrive while every connection of the process is in use', async () => {
    const db = database.db('klar_api', { poolSize: 1 });
    let end = () => {};
    const busy = db.withTx(() => new Promise<void>((resolve) => (end = resolve)));
    const store = openFlags({ file: undefined, db, clock: systemClock, log, metrics, pollMs: 20 });
    stores.push(store);
    try {
      await apply(1, 'off');
      await has(store, 1);
    } finally {
      end();
      await busy;
    }
  });

  it('leave the old login when it rotates, and every connection at the end', async () => {
    let login: 'a' | 'b' = 'a';
    const db = database.db('klar_api', { url: () => database.url('klar_api', login) });
    const store = openFlags({ file: undefined, db, clock: systemClock, log, metrics, pollMs: 20 });
    const sessions = async () =>
      (
        await database.asSuperuser<{ usename: string }>(
          `select distinct usename from pg_stat_activity where datname = current_database() and usename like 'klar_api_%'`,
        )
      ).map(({ usename }) => usename);
    const are = (...names: string[]) =>
      until(async () => String(await sessions()) === String(names), {
        what: `sessions of ${names}`,
        timeoutMs: 20_000,
      });
    await are('klar_api_a');
    login = 'b';
    await db.reconnect();
    await are('klar_api_b');
    await db.close();
    await are();
    store.close();
  });

  it('are those of the database before a process serves, also when the file says otherwise', async () => {
    writeFileSync(file, renderLive(live(1, 'on')));
    await apply(2, 'off');
    const proxy = await startTcpProxy(Number(new URL(database.superuserUrl).port));
    const db = database.db('klar_api', { url: throughProxy(database.url('klar_api'), proxy) });
    const start = (firstAnswerMs?: number) =>
      startFlags({
        scope: 'test first',
        file,
        db,
        clock: systemClock,
        log,
        metrics,
        ...(firstAnswerMs === undefined ? {} : { firstAnswerMs }),
      });
    try {
      const flags = await start();
      equal(flags.isOn('checkout-enabled'), false);
      await flags.close();
      // One that says nothing holds up no start.
      proxy.frozen = true;
      const late = await start(100);
      equal(late.isOn('checkout-enabled'), true);
      await late.close();
    } finally {
      proxy.frozen = false;
      await proxy.close();
    }
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
