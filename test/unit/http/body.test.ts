import assert from 'node:assert/strict';
import fc from 'fast-check';
import { KlarError } from '#platform/errors/index.ts';
import { parseJson } from '#platform/http/index.ts';
import { isJson } from '../../../services/platform/http/body.ts';
import { requestHash } from '../../../services/platform/http/idempotency.ts';

describe('parseJson', () => {
  it('gives what JSON.parse gives, or a refusal without a word of the body', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (json) => {
        try {
          assert.deepEqual(parseJson(Buffer.from(json)), JSON.parse(json));
        } catch (error) {
          assert.ok(error instanceof KlarError && ['invalid_json', 'invalid_text'].includes(error.code));
        }
      }),
    );
  });
  it('never throws anything but a refusal, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        try {
          parseJson(Buffer.from(bytes));
        } catch (error) {
          assert.ok(error instanceof KlarError && error.status === 400);
        }
      }),
    );
  });
  it('takes 32 levels and no more', () => {
    const nested = (levels: number) => Buffer.from('['.repeat(levels) + ']'.repeat(levels));
    assert.doesNotThrow(() => parseJson(nested(32)));
    assert.throws(() => parseJson(nested(33)), { code: 'invalid_json' });
  });
  it('leaves no way to a prototype', () => {
    for (const json of ['{"__proto__":{"a":1}}', '{"a":[{"__proto__":null}]}', '{"\\u005f_proto__":1}']) {
      assert.throws(() => parseJson(Buffer.from(json)), { code: 'invalid_json' });
    }
  });
});

describe('isJson', () => {
  it('takes JSON in UTF-8 only', () => {
    for (const yes of [
      'application/json',
      'Application/JSON',
      'application/json; charset=utf-8',
      'application/json;charset="UTF-8"',
    ]) {
      assert.ok(isJson(yes), yes);
    }
    for (const no of [
      undefined,
      '',
      'text/json',
      'application/json2',
      'application/json; charset=latin1',
      'application/json, text/html',
    ]) {
      assert.ok(!isJson(no), String(no));
    }
  });
});

describe('requestHash', () => {
  const hash = (body: unknown, query: unknown = {}, path = '/api/orders') =>
    requestHash({ path, query, body }).toString('hex');
  it('ignores the order of keys, at every depth', () => {
    assert.equal(hash({ a: 1, b: [{ c: 1, d: 2 }] }), hash({ b: [{ d: 2, c: 1 }], a: 1 }));
  });
  it('tells other values, other places and other types apart', () => {
    const all = [
      hash({ a: 1 }),
      hash({ a: '1' }),
      hash({ a: [1] }),
      hash({ a: null }),
      hash({}),
      hash(undefined),
      hash([]),
      hash({ a: 1 }, { b: '1' }),
      hash({ a: 1 }, {}, '/api/orders/2'),
      hash({ a: [1, 2] }),
      hash({ a: [2, 1] }),
    ];
    assert.equal(new Set(all).size, all.length);
  });
});
