import assert from 'node:assert/strict';
import { redactableValues } from '../../../services/platform/config/url-passwords.ts';

describe('what the redactor knows of secret values', () => {
  it('is each value, and the password of a URL as it is written and as it is meant', () => {
    const { of } = redactableValues();
    assert.deepEqual(of(['plain']), ['plain']);
    assert.deepEqual(of(['postgres://u:p%40ss@h/d']), ['postgres://u:p%40ss@h/d', 'p%40ss', 'p@ss']);
    assert.deepEqual(of(['postgres://h/d?user=u&password=p%40ss']).slice(1), ['p@ss', 'p%40ss']);
    assert.deepEqual(of(['postgres://h/d']), ['postgres://h/d']);
  });

  it('forgets the values of generations that are gone', () => {
    const { of, size } = redactableValues();
    for (let n = 0; n < 1_000; n++) {
      const current = of([`postgres://u:new-${n}@h/d`, `postgres://u:new-${n - 1}@h/d`, 'plain', 'plain']);
      assert.ok(current.includes(`new-${n}`) && current.includes(`new-${n - 1}`));
      assert.ok(size() <= 3, `${size()} remembered`);
    }
  });
});
