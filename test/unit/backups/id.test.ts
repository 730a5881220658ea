import assert from 'node:assert/strict';
import fc from 'fast-check';
import { backupId, timeOfId } from '#domain/operations/backups/index.ts';

describe('the id of a backup', () => {
  it('is the second it began, and six digits', () => {
    assert.match(backupId(new Date('2026-05-01T02:30:09.987Z')), /^20260501T023009Z-[0-9a-f]{6}$/);
  });

  it('gives its time back, and sorts as it', () => {
    const seconds = fc.integer({ min: 0, max: 4_102_444_800 });
    fc.assert(
      fc.property(seconds, seconds, (a, b) => {
        const [first, second] = [backupId(new Date(a * 1_000)), backupId(new Date(b * 1_000))];
        assert.equal(timeOfId(first)?.getTime(), a * 1_000);
        if (a !== b) assert.equal(first < second, a < b);
      }),
    );
  });

  for (const text of [
    '',
    'lost+found',
    '20260501T023009Z',
    '20260231T023009Z-0a1b2c',
    '20260501T253009Z-0a1b2c',
    '../20260501T023009Z-0a1b2c',
  ]) {
    it(`is not ${JSON.stringify(text)}`, () => assert.equal(timeOfId(text), undefined));
  }
});
