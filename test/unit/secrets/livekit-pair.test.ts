import { deepEqual, throws } from 'node:assert/strict';
import { livekitPair } from '#domain/secrets/index.ts';

describe('the value of LIVEKIT_API_SECRET', () => {
  it('names its key, which goes before LIVEKIT_API_KEY, or has that one', () => {
    deepEqual(livekitPair('APInew:secret', 'APIold'), { key: 'APInew', secret: 'secret' });
    deepEqual(livekitPair('secret', 'APIold'), { key: 'APIold', secret: 'secret' });
  });

  it('is refused where a half is missing, without being quoted', () => {
    const wrong: [string, string | undefined, RegExp][] = [
      ['s3cret', undefined, /names no key and LIVEKIT_API_KEY is not set/],
      [':s3cret', 'APIold', /no key before its colon/],
      ['s3cret key:x', 'APIold', /no key before its colon/],
      ['s3cret:', 'APIold', /no secret after its key/],
      ['APInew:s3cret:x', 'APIold', /no secret after its key/],
      ['', 'APIold', /no secret after its key/],
    ];
    for (const [value, key, problem] of wrong) {
      throws(
        () => livekitPair(value, key),
        ({ message }: Error) => problem.test(message) && !message.includes('s3cret') && /<key>:<secret>/.test(message),
        value,
      );
    }
  });
});
