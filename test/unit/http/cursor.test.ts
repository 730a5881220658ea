import assert from 'node:assert/strict';
import { decodeCursor, encodeCursor, setCursorKeys } from '#platform/http/index.ts';

const refused = { code: 'invalid_cursor' };

describe('cursors', () => {
  let keys = ['first'];
  beforeEach(() => {
    keys = ['first'];
    setCursorKeys(() => keys);
  });

  it('give back what they were made of', () => {
    const values = ['2026-01-01T00:00:00.000Z', 12, null, 'crs_ä'];
    assert.deepEqual(decodeCursor(encodeCursor(values, 'courses.list'), 'courses.list'), values);
  });

  it('are refused by another list', () => {
    assert.throws(() => decodeCursor(encodeCursor(['a'], 'courses.list'), 'orders.list'), refused);
  });

  it('are refused when a single character was changed, added or dropped', () => {
    const cursor = encodeCursor(['a', 1], 'x');
    for (let i = 0; i < cursor.length; i++) {
      const other = cursor[i] === 'A' ? 'B' : 'A';
      assert.throws(() => decodeCursor(cursor.slice(0, i) + other + cursor.slice(i + 1), 'x'), refused);
      assert.throws(() => decodeCursor(cursor.slice(0, i) + cursor.slice(i + 1), 'x'), refused);
    }
  });

  for (const noise of ['', '.', 'a', 'a.b', 'a.b.c', '💥', 'e30.', '.e30']) {
    it(`refuse ${JSON.stringify(noise)}`, () => {
      assert.throws(() => decodeCursor(noise), refused);
    });
  }

  it('outlive a rotation of the key, and not the old key’s end', () => {
    const cursor = encodeCursor(['a']);
    keys = ['second', 'first'];
    assert.deepEqual(decodeCursor(cursor), ['a']);
    keys = ['third', 'second'];
    assert.throws(() => decodeCursor(cursor), refused);
  });
});
