/**
 * Two candidates as processes, at a real API server through a proxy that can cut one of them off, with the database that
 * refuses a term that is over between them. Needs no installation; PostgreSQL is the test run's own.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { type KlarProcess, startProcess } from '../support/process.ts';
import { until } from '../support/until.ts';
import { type CoreNamespace, coreNamespace } from './support/core-namespace.ts';

const CANDIDATE = path.resolve(import.meta.dirname, 'support/controller-candidate.ts');
const TAKEOVER_MS = 20_000;

describe('two candidates for the lease of the controller', () => {
  type Line = { event: string; token?: number; greatest?: number };
  type Candidate = { who: string; process: KlarProcess; lines(): Line[] };
  let database: TestDatabase;
  let candidates: Candidate[];
  let world: CoreNamespace;
  before(async () => {
    world = await coreNamespace();
    database = await createTestDatabase();
    await database.asSuperuser(
      `create table public.writes (seq bigint generated always as identity, who text, token bigint, at timestamptz default clock_timestamp());
       grant usage on schema public to klar_controller; grant insert on public.writes to klar_controller`,
    );
  });
  after(async () => {
    await database.close();
    await world.close();
  });
  beforeEach(() => {
    candidates = [];
  });
  afterEach(async () => {
    await Promise.all(candidates.map((one) => one.process.kill()));
    await database.asSuperuser('truncate public.writes');
  });

  function candidate(who: string, lease: string, more: Record<string, string> = {}): Candidate {
    const running = startProcess(CANDIDATE, {
      KUBE: world.proxy.url(who),
      NAMESPACE: world.namespace,
      LEASE: lease,
      IDENTITY: who,
      DATABASE: database.url('klar_controller'),
      ...more,
    });
    const lines = () =>
      running
        .output()
        .split('\n')
        .filter((line) => line.startsWith('{"event"'))
        .map((line) => JSON.parse(line) as Line);
    const one = { who, process: running, lines };
    candidates.push(one);
    return one;
  }
  const writes = () =>
    database.asSuperuser<{ who: string; token: string; at: Date }>(
      'select who, token, at from public.writes order by seq',
    );
  const wrote = (who: string, timeoutMs = 20_000) =>
    until(async () => (await writes()).filter((row) => row.who === who).length > 3, {
      timeoutMs,
      what: `writes of ${who}`,
    }).catch((error) => {
      throw new Error(`${error.message}\n${candidates.map((one) => one.process.output()).join('\n---\n')}`);
    });
  const firstOf = async (who: string) => (await writes()).find((row) => row.who === who)?.at.getTime() ?? Number.NaN;
  /** In the order of the fence: no token after a greater one, and each of one candidate alone. */
  async function neverTwoWriters(): Promise<void> {
    const rows = await writes();
    const holders = new Map<string, string>();
    let greatest = 0n;
    for (const { who, token } of rows) {
      assert.ok(BigInt(token) >= greatest, `${who} wrote with ${token} after ${greatest}`);
      greatest = BigInt(token);
      assert.equal(holders.get(token) ?? who, who, `two wrote with ${token}`);
      holders.set(token, who);
    }
    assert.ok(holders.size > 1, 'more than one term wrote');
  }

  it('the leader stopped between its look and its write: the other takes over within 20 s, and the late write is refused', async () => {
    const a = candidate('a', 'stopped');
    await wrote('a');
    candidate('b', 'stopped');
    await pause(1_000);
    a.process.child.kill('SIGUSR2');
    const last = await until(
      async () => {
        const before = (await writes()).length;
        await pause(300);
        const rows = await writes();
        return rows.length === before ? rows.at(-1)?.at.getTime() : undefined;
      },
      { timeoutMs: 5_000, what: 'a stopped leader' },
    );
    await wrote('b', TAKEOVER_MS + 5_000);
    const tookMs = (await firstOf('b')) - last;
    process.stdout.write(`      takeover from a stopped leader: ${Math.round(tookMs)} ms\n`);
    assert.ok(tookMs <= TAKEOVER_MS);
    a.process.child.kill('SIGCONT');
    const refused = await until(() => a.lines().find(({ event }) => event === 'refused'), {
      timeoutMs: 10_000,
      what: 'a refusal of the write that was under way',
    });
    assert.ok((refused.greatest ?? 0) > (refused.token ?? 0));
    await until(() => a.lines().some(({ event }) => event === 'over'), { what: 'the end of its term' });
    await neverTwoWriters();
  });

  for (const reckless of [false, true]) {
    const how = reckless ? 'and never looks at its term: the database alone keeps it out' : 'ends its term by itself';
    it(`the leader cut off from the API server, but not from the database, ${how}`, async () => {
      const [first, second, lease] = [`cut-${reckless}`, `next-${reckless}`, `cut-${reckless}`];
      const a = candidate(first, lease, reckless ? { RECKLESS: '1' } : {});
      await wrote(first);
      candidate(second, lease);
      await pause(1_000);
      const cutAt = Date.now();
      world.proxy.freeze(first, true);
      await wrote(second, TAKEOVER_MS + 5_000);
      const tookMs = (await firstOf(second)) - cutAt;
      process.stdout.write(`      takeover from a leader that is cut off: ${Math.round(tookMs)} ms\n`);
      assert.ok(tookMs <= TAKEOVER_MS);
      const met = reckless ? 'refused' : 'over';
      await until(() => a.lines().some(({ event }) => event === met), { what: `"${met}" of the one cut off` });
      world.proxy.freeze(first, false);
      await neverTwoWriters();
      // A gap says that the old one had stopped by itself before the new one began.
      const rows = await writes();
      const lastOfFirst =
        rows
          .filter(({ who }) => who === first)
          .at(-1)
          ?.at.getTime() ?? Number.NaN;
      if (!reckless) assert.ok((await firstOf(second)) - lastOfFirst > 1_000);
    });
  }

  it('a lease that was deleted or came back old, with a database that has seen more: above it after one refusal', async () => {
    await database.asSuperuser(`insert into ops.controller_terms (lease, token) values ('old', 2000000000)`);
    const a = candidate('old-a', 'old');
    await wrote('old-a', 30_000);
    assert.deepEqual(
      a
        .lines()
        .filter(({ event }) => event === 'refused')
        .map(({ greatest }) => greatest),
      [2_000_000_000],
    );
    assert.ok((await writes()).every(({ token }) => Number(token) > 2_000_000_000));
  });
});
