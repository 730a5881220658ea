import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Batcher, type BatchLimits, type Outcome } from '../../../services/webhook-ingest/batcher.ts';

type Row = { key: string; bytes?: number };
class DataError extends Error {}

/** A store that answers when told to. */
function setup(limits: Partial<BatchLimits> = {}) {
  const inserts: { rows: string[]; succeed(): void; fail(error: Error): void }[] = [];
  const outcomes = new Map<string, Outcome[]>();
  let now = 0;
  const batcher = new Batcher<Row>({
    insert: (rows) =>
      new Promise((resolve, reject) => {
        inserts.push({ rows: rows.map((row) => row.key), succeed: resolve, fail: reject });
      }),
    compare: (a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0),
    sizeOf: (row) => row.bytes ?? 1,
    isDataError: (error) => error instanceof DataError,
    nowMs: () => now,
    limits,
  });
  return {
    batcher,
    inserts,
    outcomes,
    submit: (key: string, bytes?: number) =>
      batcher.submit({ key, ...(bytes === undefined ? {} : { bytes }) }, (outcome) => {
        outcomes.set(key, [...(outcomes.get(key) ?? []), outcome]);
      }),
    advance: (ms: number) => {
      now += ms;
    },
  };
}

const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const keys = (count: number, prefix = 'k') =>
  Array.from({ length: count }, (_, i) => `${prefix}${String(i).padStart(4, '0')}`);

describe('the batcher', () => {
  it('sends what arrived in one turn of the event loop as one batch, sorted by key', async () => {
    const { submit, inserts, outcomes } = setup();
    for (const key of ['c', 'a', 'b']) submit(key);
    await turn();
    assert.deepEqual(
      inserts.map((insert) => insert.rows),
      [['a', 'b', 'c']],
    );
    assert.equal(outcomes.size, 0, 'nothing is acknowledged before the commit');
    inserts[0]?.succeed();
    await turn();
    assert.deepEqual([...outcomes.values()], [['stored'], ['stored'], ['stored']]);
  });

  it('keeps at most two batches of at most 256 rows in flight and fills the next meanwhile', async () => {
    const { submit, inserts, batcher } = setup();
    for (const key of keys(600)) submit(key);
    await turn();
    assert.deepEqual(
      inserts.map((insert) => insert.rows.length),
      [256, 256],
    );
    assert.equal(batcher.depth, 88);
    inserts[1]?.succeed();
    await turn();
    assert.equal(inserts[2]?.rows.length, 88);
  });

  it('sends a batch early when its rows are large', async () => {
    const { submit, inserts } = setup({ maxBytes: 100 });
    for (const key of keys(3)) submit(key, 60);
    await turn();
    assert.deepEqual(
      inserts.map((insert) => insert.rows.length),
      [1, 1],
    );
  });

  it('sends a row alone that is larger than a whole batch', async () => {
    const { submit, inserts } = setup({ maxBytes: 100 });
    submit('large', 1_000);
    await turn();
    assert.deepEqual(inserts[0]?.rows, ['large']);
  });

  it('refuses at once when the queue is full by rows or by bytes', async () => {
    const { submit, outcomes } = setup({ queueRows: 2 });
    for (const key of ['a', 'b', 'c']) submit(key);
    assert.deepEqual(outcomes.get('c'), ['queue_full']);
    const heavy = setup({ queueBytes: 100 });
    heavy.submit('a', 90);
    heavy.submit('b', 20);
    assert.deepEqual(heavy.outcomes.get('b'), ['queue_full']);
    await turn();
    heavy.submit('c', 20);
    assert.equal(heavy.outcomes.has('c'), false, 'bytes in flight no longer count');
  });

  it('answers rows that waited too long instead of storing them after the provider has given up', async () => {
    const { submit, inserts, outcomes, advance } = setup({ slots: 1, maxRows: 1 });
    submit('first');
    await turn();
    submit('old');
    advance(5_001);
    submit('young');
    inserts[0]?.succeed();
    await turn();
    assert.deepEqual(outcomes.get('old'), ['too_old']);
    assert.deepEqual(inserts[1]?.rows, ['young']);
  });

  it('confirms nothing of a batch that the database did not confirm', async () => {
    const { submit, inserts, outcomes } = setup();
    submit('a');
    submit('b');
    await turn();
    inserts[0]?.fail(new Error('connection lost'));
    await turn();
    assert.deepEqual(
      [...outcomes],
      [
        ['a', ['unconfirmed']],
        ['b', ['unconfirmed']],
      ],
    );
    assert.equal(inserts.length, 1, 'no retry behind the back of a provider that waits');
  });

  it('goes on after a failed batch', async () => {
    const { submit, inserts, outcomes } = setup();
    submit('a');
    await turn();
    inserts[0]?.fail(new Error('connection lost'));
    await turn();
    submit('b');
    await turn();
    inserts[1]?.succeed();
    await turn();
    assert.deepEqual(outcomes.get('b'), ['stored']);
  });

  it('drains: resolves when nothing waits and nothing is in flight', async () => {
    const { submit, inserts, batcher } = setup({ slots: 1, maxRows: 1 });
    await batcher.drain();
    submit('a');
    submit('b');
    let drained = false;
    void batcher.drain().then(() => {
      drained = true;
    });
    await turn();
    inserts[0]?.succeed();
    await turn();
    assert.equal(drained, false);
    inserts[1]?.succeed();
    await turn();
    assert.equal(drained, true);
  });

  it('stores every neighbour of poisoned rows and answers each row once, wherever the poison is', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 120 }),
        fc.array(fc.nat(119), { maxLength: 5 }),
        async (count, bad) => {
          const poisoned = new Set(keys(120).filter((_, i) => bad.includes(i)));
          const stored: string[] = [];
          const outcomes = new Map<string, Outcome[]>();
          const batcher = new Batcher<Row>({
            insert: async (rows) => {
              if (rows.some((row) => poisoned.has(row.key))) throw new DataError();
              stored.push(...rows.map((row) => row.key));
            },
            compare: (a, b) => a.key.localeCompare(b.key),
            sizeOf: () => 1,
            isDataError: (error) => error instanceof DataError,
            nowMs: () => 0,
          });
          for (const key of keys(count)) {
            batcher.submit({ key }, (outcome) => outcomes.set(key, [...(outcomes.get(key) ?? []), outcome]));
          }
          await batcher.drain();
          for (const key of keys(count)) {
            assert.deepEqual(outcomes.get(key), [poisoned.has(key) ? 'unstorable' : 'stored']);
            assert.equal(stored.filter((other) => other === key).length, poisoned.has(key) ? 0 : 1);
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});
