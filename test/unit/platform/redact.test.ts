import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createRedactor, isSecretKey } from '#platform/log/index.ts';

const secretText = fc.stringMatching(/^[A-Za-z0-9_-]{16,48}$/);
const redact = createRedactor();
const shown = (value: unknown) => JSON.stringify(redact(value));

describe('redaction', () => {
  it('hides a known secret wherever it stands: values, keys, errors, arrays, any depth and any text around it', () => {
    fc.assert(
      fc.property(
        secretText,
        fc.string(),
        fc.string(),
        fc.array(fc.constantFrom('a', 'list', 'error', 'key', 'map'), { maxLength: 6 }),
        (secret, before, after, path) => {
          const text = `${before}${secret}${after}`;
          const wrapped = path.reduce<unknown>((inner, kind) => {
            if (kind === 'list') return [inner];
            if (kind === 'error') return new Error(text, { cause: inner });
            if (kind === 'key') return { [text]: inner };
            if (kind === 'map') return new Map([['x', inner]]);
            return { field: inner };
          }, text);
          const out = JSON.stringify(createRedactor(() => [secret])({ wrapped }));
          assert.ok(!out.includes(secret), out);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('hides a known secret in its URL-encoded form and each line of a PEM', () => {
    const pem = '-----BEGIN X-----\nMC4CAQAwBQYDK2VwBCIEIJ0rU\nabcdefghijklmnopqrstuvwxyz\n-----END X-----';
    const mask = createRedactor(() => ['pa ss/word+1', pem]);
    assert.equal(mask('https://h/?p=pa%20ss%2Fword%2B1&x=1'), 'https://h/?p=[redacted]&x=1');
    assert.equal(mask('line abcdefghijklmnopqrstuvwxyz here'), 'line [redacted] here');
  });

  it('hides the longer of two secrets when one holds the other', () => {
    const mask = createRedactor(() => ['abcdefgh', 'abcdefgh-and-the-rest']);
    assert.equal(mask('x abcdefgh-and-the-rest y'), 'x [redacted] y');
  });

  it('follows a rotation: the new value is hidden as soon as it is in use', () => {
    let current = ['first-known-value'];
    const mask = createRedactor(() => current);
    assert.equal(mask('first-known-value'), '[redacted]');
    // What becomes of a name is remembered, but not beyond a rotation.
    assert.deepEqual(mask({ 'a second-known-value': 1 }), { 'a second-known-value': 1 });
    current = ['second-known-value', 'first-known-value'];
    assert.equal(mask('second-known-value first-known-value'), '[redacted] [redacted]');
    assert.deepEqual(mask({ 'a second-known-value': 1 }), { 'a [redacted]': 1 });
  });

  for (const [name, text] of Object.entries({
    'a Stripe secret key': 'sk_test_51abcDEF',
    'a live restricted key': 'rk_live_51abcDEF',
    'a webhook secret': 'whsec_abc123DEF',
    'a bearer header': 'Bearer abcdefghijkl',
    'a basic header': 'Basic dXNlcjpwYXNzd29yZA==',
    'a JWT': 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c3JfMSJ9.c2lnbmF0dXJl',
    'an API key of ours': 'klar_Ab3dEf6hIj9kLm2nOp5qRs8t',
    'a checkout client secret': 'pi_3Abc_secret_XyZ123abc',
    'a card number': '4242424242424242',
    'a card number in groups': '4242 4242 4242 4242',
    'a password in JSON text': '{"password":"hunter2!"}',
    'a password in escaped JSON text': '{"password":"hun\\"ter2!"}',
    'a token in a query': 'https://klar.test/verify?token=abcdef123',
    'a password in a URL': 'postgres://user:hunter2!@db/klar',
    'a private key': '-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----',
    'half a private key': '-----BEGIN PRIVATE KEY-----\nMC4CAQAwMC4CAQAw',
  })) {
    it(`recognises ${name}`, () => {
      const out = shown({ note: `before ${text} after` });
      for (const word of [
        '51abc',
        'abc123DEF',
        'abcdefghijkl',
        'dXNlcjpw',
        'c3JfMSJ9',
        'Ab3dEf6h',
        'XyZ123abc',
        '4242',
        'ter2',
        'abcdef123',
        'MC4CAQAw',
      ]) {
        assert.ok(!out.includes(word), out);
      }
    });
  }

  it('hides any card number that passes the check digit, as text and as a number', () => {
    fc.assert(
      fc.property(fc.constantFrom('4', '51', '22', '34', '62'), fc.stringMatching(/^\d{12}$/), (scheme, digits) => {
        const card = withCheckDigit(`${scheme}${digits}`.slice(0, 15));
        assert.equal(redact(`paid with ${card}.`), 'paid with [redacted].');
        assert.equal(redact(Number(card)), '[redacted]');
      }),
    );
  });

  it('keeps what is no secret: ids, times, amounts, metric and role names', () => {
    const harmless = {
      id: 'ord_0192f3a0b1c27d3e8f4a5b6c7d8e9f00',
      at: 1795271332706,
      when: '2026-11-21T14:28:52.708Z',
      amount: 4900,
      metric: 'klar_webhooks_inbox_oldest_ready_age_seconds',
      role: 'klar_worker',
      request_id: 'a3f2b1c4d5e6f7a8',
      secret_name: 'STRIPE_SECRET_KEY',
      secret_generation: '1a2b3c4d',
      token_type: 'access',
      tokens: 12,
      nothing: null,
      no: false,
    };
    assert.deepEqual(redact(harmless), harmless);
  });

  it('keeps first letter and domain of an e-mail address', () => {
    assert.equal(redact('to ada.lovelace@example.com and b@x.org'), 'to a***@example.com and b***@x.org');
  });

  it('blanks a field by its name whatever it holds', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(
          'password',
          'newPassword',
          'client_secret',
          'refresh_token',
          'Authorization',
          'set-cookie',
          'api_key',
          'apiKey',
          'otp',
          'DATABASE_URL',
        ),
        fc.jsonValue(),
        (key, value) => {
          assert.deepEqual(redact({ [key]: value }), { [key]: '[redacted]' });
        },
      ),
    );
    assert.equal(isSecretKey('idempotency_key'), false);
    assert.equal(isSecretKey('compass'), false);
  });

  it('survives whatever is logged: cycles, depth, size, getters of nothing, big integers, buffers', () => {
    const loop: Record<string, unknown> = { name: 'loop' };
    loop.self = loop;
    assert.deepEqual(redact(loop), { name: 'loop', self: '(circular)' });
    const shared = { a: 1 };
    assert.deepEqual(redact([shared, shared]), [shared, shared]);
    assert.deepEqual(redact({ n: 10n, b: Buffer.from('secret'), f: () => 1, u: undefined }), {
      n: '10',
      b: '(6 bytes)',
    });
    let deep: unknown = 'end';
    for (let i = 0; i < 1000; i += 1) deep = { deep };
    assert.ok(shown(deep).length < 300);
    assert.ok(shown('x'.repeat(1_000_000)).length < 10_000);
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
    assert.deepEqual(Object.keys(redact(JSON.parse('{"__proto__":{"polluted":true}}')) as object), ['__proto__']);
  });

  it('takes any JSON value without changing its shape or throwing', () => {
    fc.assert(fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => void shown(value)));
  });

  it('stays quick on text made to make it slow', () => {
    const rows = [
      'a',
      'a-',
      'a_',
      '1',
      '4 ',
      'a@',
      'a.',
      'eyJ',
      'sk_live_',
      'klar_',
      '"',
      'password=',
      'http://',
      '-----BEGIN PRIVATE KEY-----',
      'Bearer ',
    ];
    for (const row of rows) {
      const text = row.repeat(20_000);
      const from = performance.now();
      redact(text);
      assert.ok(performance.now() - from < 100, `${row}: ${performance.now() - from} ms`);
    }
  });

  it('keeps the cause and the code of an error', () => {
    const error = Object.assign(new Error('outer', { cause: new TypeError('inner sk_test_abc') }), { code: '23505' });
    const out = redact(error) as { code: string; stack: string; cause: { name: string; message: string } };
    assert.equal(out.code, '23505');
    assert.match(out.stack, /^Error: outer/);
    assert.deepEqual([out.cause.name, out.cause.message], ['TypeError', 'inner sk_test_[redacted]']);
  });
});

function withCheckDigit(body: string): string {
  let sum = 0;
  for (let i = 0; i < body.length; i += 1) {
    let digit = Number(body[body.length - 1 - i]);
    if (i % 2 === 0) digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return `${body}${(10 - (sum % 10)) % 10}`;
}
