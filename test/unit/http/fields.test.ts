import assert from 'node:assert/strict';
import fc from 'fast-check';
import { z } from 'zod';
import { listQuery, queryBool, queryInt, text } from '#platform/http/index.ts';
import { emailField, nameField, newPasswordField } from '../../../services/api/fields.ts';
import { jsonSchemas } from '../../../services/platform/http/json-schema.ts';

const accepts = (schema: z.ZodType, value: unknown) => schema.safeParse(value).success;

describe('text()', () => {
  const name = text({ max: 5 });
  it('counts characters as JSON Schema does, not UTF-16 units', () => {
    assert.equal(accepts(name, '👩‍🏫'.slice(0, 5)), true);
    assert.equal(accepts(name, '😀😀😀😀😀'), true);
    assert.equal(accepts(name, '😀😀😀😀😀😀'), false);
    assert.equal(accepts(name, ''), false);
    assert.equal(accepts(text({ min: 0, max: 5 }), ''), true);
  });
  it('refuses NUL and lone surrogates, which PostgreSQL does', () => {
    assert.equal(accepts(name, 'a\0'), false);
    assert.equal(accepts(name, '\ud800'), false);
  });
  it('accepts exactly what its JSON Schema says', () => {
    const schema = jsonSchemas().of(name, 'input') as { minLength: number; maxLength: number; pattern: string };
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 12 }), (value) => {
        const length = [...value].length;
        const documented =
          length >= schema.minLength && length <= schema.maxLength && new RegExp(schema.pattern, 'u').test(value);
        assert.equal(accepts(name, value), documented && value.isWellFormed());
      }),
    );
  });
  it('with a pattern accepts exactly what its JSON Schema says', () => {
    for (const field of [nameField, emailField, newPasswordField]) {
      const schema = jsonSchemas().of(field, 'input') as { minLength: number; maxLength: number; pattern: string };
      const documented = fc.stringMatching(new RegExp(schema.pattern, 'u')).map((value) => value.slice(0, 200));
      fc.assert(
        fc.property(fc.oneof(documented, fc.string({ unit: 'binary', maxLength: 70 })), (value) => {
          const length = [...value].length;
          const fits = length >= schema.minLength && length <= schema.maxLength;
          const says = fits && new RegExp(schema.pattern, 'u').test(value) && value.isWellFormed();
          assert.equal(accepts(field, value), says, value);
        }),
      );
    }
  });
  it('asks no pattern about a text of the wrong length', () => {
    const startedAt = performance.now();
    // Quadratic for this pattern: half an hour if it were asked.
    assert.equal(accepts(nameField, `${'a'.repeat(1_000_000)}\n`), false);
    assert.ok(performance.now() - startedAt < 1_000);
  });
  it('does not spread a megabyte to count it', () => {
    assert.equal(accepts(name, 'a'.repeat(1_000_000)), false);
  });
});

describe('queryInt()', () => {
  const limit = queryInt({ min: 1, max: 200 });
  it('takes decimal integers in its range', () => {
    assert.deepEqual([limit.parse('1'), limit.parse('200'), limit.parse('007')], [1, 200, 7]);
  });
  for (const bad of ['', ' ', '1.5', '1e2', '0x10', '+1', '０', '201', '0', '-1', 'Infinity', '9'.repeat(20)]) {
    it(`refuses ${JSON.stringify(bad)}`, () => {
      assert.equal(accepts(limit, bad), false);
    });
  }
  it('is an integer in the document, though it is text on the wire', () => {
    assert.deepEqual(jsonSchemas().of(limit, 'input'), { type: 'integer', minimum: 1, maximum: 200 });
    assert.deepEqual(jsonSchemas().of(z.object(listQuery).shape.limit, 'input'), {
      type: 'integer',
      minimum: 1,
      maximum: 200,
      default: 50,
    });
  });
});

describe('queryBool()', () => {
  it('takes true and false, and nothing like them', () => {
    assert.deepEqual([queryBool().parse('true'), queryBool().parse('false')], [true, false]);
    for (const bad of ['1', 'TRUE', '', 'yes']) assert.equal(accepts(queryBool(), bad), false);
    assert.deepEqual(jsonSchemas().of(queryBool(), 'input'), { type: 'boolean' });
  });
});
