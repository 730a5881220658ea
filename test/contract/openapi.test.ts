import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { generateOpenApi, noDeps } from '../../services/api/openapi.ts';
import { apiRoutes } from '../../services/api/routes/index.ts';

interface Operation {
  operationId: string;
  security: object[];
  parameters?: { $ref?: string; name?: string; schema?: Json }[];
  requestBody?: { content: Record<string, { schema: Json }> };
  responses: Record<string, Json>;
}
type Json = { [key: string]: unknown };
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Json>; responses: Record<string, Json> };
}

describe('openapi.json', () => {
  const text = generateOpenApi();
  const document = JSON.parse(text) as Document;
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path));

  async function lint(source: string): Promise<string[]> {
    const config = await createConfig({ extends: ['recommended-strict'] });
    const problems = await lintFromString({ source, absoluteRef: 'openapi.json', config });
    return problems.map(({ ruleId, message, location }) => `${ruleId}: ${message} at ${location[0]?.pointer}`);
  }

  it('is committed as the routes make it', async () => {
    const committed = await readFile(path.resolve(import.meta.dirname, '../../openapi.json'), 'utf8');
    assert.ok(committed === text, 'openapi.json is old; run: npm run generate');
  });

  it('lints clean', async () => {
    assert.deepEqual(await lint(text), []);
  });

  it('would not lint clean with a fault', async () => {
    const broken = structuredClone(document);
    Object.assign(Object.values(broken.paths)[0] ?? {}, { get: { operationId: 'ops.ready', responses: {} } });
    assert.notDeepEqual(await lint(JSON.stringify(broken)), []);
  });

  it('has every route, and nothing else', () => {
    assert.deepEqual(
      operations.map(({ operationId }) => operationId).sort(),
      apiRoutes(noDeps())
        .map(({ id }) => id)
        .sort(),
    );
  });

  it('asks for credentials everywhere but on public routes', () => {
    const open = apiRoutes(noDeps()).filter(({ access }) => access.kind === 'public');
    assert.deepEqual(
      operations
        .filter(({ security }) => security.length === 0)
        .map(({ operationId }) => operationId)
        .sort(),
      open.map(({ id }) => id).sort(),
    );
  });

  it('resolves every reference', () => {
    for (const [, ref] of text.matchAll(/"\$ref": "#\/([^"]+)"/g)) {
      const found = ref?.split('/').reduce<unknown>((node, key) => (node as Json | undefined)?.[key], document);
      assert.ok(found, ref ?? '');
    }
  });

  /** Every schema below, with its place. */
  function* schemasOf(node: unknown, place: string): Generator<[string, Json]> {
    if (typeof node !== 'object' || node === null) return;
    const schema = node as Json;
    if (typeof schema.$ref === 'string') {
      yield* schemasOf(document.components.schemas[schema.$ref.split('/').at(-1) ?? ''], place);
      return;
    }
    if (!Array.isArray(node)) yield [place, schema];
    for (const [key, child] of Object.entries(schema)) {
      if (key === 'properties')
        for (const [name, field] of Object.entries(child as Json)) yield* schemasOf(field, `${place}.${name}`);
      else if (['items', 'anyOf', 'oneOf', 'allOf', 'additionalProperties', 'prefixItems'].includes(key))
        yield* schemasOf(child, place);
    }
  }

  it('refuses unknown fields in every request body, at every depth', () => {
    for (const { operationId, requestBody } of operations) {
      for (const [place, schema] of schemasOf(requestBody?.content['application/json']?.schema, operationId)) {
        if (schema.type === 'object') assert.equal(schema.additionalProperties, false, place);
      }
    }
  });

  it('says what each field of a request may be: a type, and a length for text', () => {
    for (const { operationId, requestBody, parameters = [] } of operations) {
      const inputs = [
        requestBody?.content['application/json']?.schema,
        ...parameters.map(({ name, schema }) => schema && { properties: { [name ?? '']: schema } }),
      ];
      for (const input of inputs) {
        for (const [place, schema] of schemasOf(input, operationId)) {
          if (Array.isArray(schema) || schema.properties) continue;
          const says = ['type', 'enum', 'const', 'anyOf', 'oneOf', 'allOf'].some((key) => key in schema);
          assert.ok(says, `${place} may be anything`);
          if (schema.type === 'string' && !schema.enum && !schema.const && !schema.format && !schema.pattern) {
            assert.ok(schema.maxLength, `${place} is text without a limit`);
          }
        }
      }
    }
  });

  it('documents for every tenant operation what a stranger, a role without the permission and a limit get', () => {
    for (const route of apiRoutes(noDeps()).filter(({ access }) => access.kind === 'tenant')) {
      const operation = operations.find(({ operationId }) => operationId === route.id);
      for (const status of ['400', '401', '403', '404', '429', '500', '503']) {
        assert.ok(operation?.responses[status], `${route.id} ${status}`);
      }
      assert.equal(Boolean(operation?.responses['402']), route.mode === 'write', `${route.id} 402`);
      assert.ok(operation?.parameters?.some(({ $ref }) => $ref === '#/components/parameters/KlarTenant'));
    }
  });
});
