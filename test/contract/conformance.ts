import assert from 'node:assert/strict';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { Watch } from '../support/client.ts';

type Json = { [key: string]: unknown };
interface Header {
  $ref?: string;
  required?: boolean;
  schema: Json;
}
interface Answer {
  $ref?: string;
  headers?: Record<string, Header>;
  content?: Record<string, { schema: Json }>;
}
export interface Operation {
  operationId: string;
  security: object[];
  parameters?: { $ref?: string; name?: string; in?: string }[];
  requestBody?: object;
  responses: Record<string, Answer>;
  'x-klar-access': { kind: 'public' | 'person' | 'tenant' | 'platform'; permission?: string };
}
export interface OpenApi {
  paths: Record<string, Record<string, Operation>>;
  components: object;
}

export interface OperationAt {
  method: string;
  path: string;
  operation: Operation;
}

/** Compares answers with the OpenAPI document, and remembers what was asked and how it was answered. */
export interface Conformance {
  readonly operations: readonly OperationAt[];
  /** Throws an AssertionError that names the operation and what of its answer is not as documented. */
  readonly watch: Watch;
  /** Statuses that an operation has answered with. */
  statuses(operationId: string): number[];
  /** Operations that were never called, and successes they never had. */
  missing(): string[];
}

export function createConformance(document: OpenApi): Conformance {
  // As OpenAPI 3.1 says; strict, so that a keyword ajv does not know is an error instead of a check that checks nothing.
  const ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true, allowUnionTypes: true });
  formats.default(ajv);
  for (const word of ['openapi', 'info', 'servers', 'tags', 'paths', 'components']) ajv.addKeyword(word);
  ajv.addSchema(document, 'openapi.json');
  const compiled = new Map<string, ValidateFunction>();
  const seen = new Map<string, Set<number>>();

  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  // `/tenants/current` before `/tenants/{slug}`: a literal path wins over a template, as OpenAPI says.
  const routes = operations
    .map((at) => ({ ...at, pattern: new RegExp(`^${at.path.replace(/\{[^}]+\}/g, '[^/]+')}$`) }))
    .sort((a, b) => Number(a.path.includes('{')) - Number(b.path.includes('{')));

  /** A thing of the document, and the pointer to it. */
  function resolve<T extends { $ref?: string }>(node: T, pointer: string): [T, string] {
    if (node.$ref === undefined) return [node, pointer];
    const target = node.$ref.slice(1);
    const keys = target.split('/').slice(1);
    const found = keys.reduce<unknown>((at, key) => (at as Json | undefined)?.[key], document);
    assert.ok(found, `${node.$ref} leads nowhere`);
    return [found as T, target];
  }

  function faults(pointer: string, value: unknown): string[] {
    let validate = compiled.get(pointer);
    if (validate === undefined) {
      validate = ajv.compile({ $ref: `openapi.json#${pointer}` });
      compiled.set(pointer, validate);
    }
    if (validate(value)) return [];
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) => `${instancePath || '/'} ${message} ${JSON.stringify(params)}`,
    );
  }

  const watch: Watch = ({ method, path }, { status, headers, text }) => {
    const plain = path.replace(/\?.*$/s, '');
    const at = routes.find((route) => route.method === method && route.pattern.test(plain));
    assert.ok(at, `${method} ${plain} is not documented`);
    const { operationId, responses } = at.operation;
    const statuses = seen.get(operationId) ?? new Set();
    seen.set(operationId, statuses.add(status));
    const where = `${operationId} ${status}`;
    const documented = responses[status];
    assert.ok(documented, `${where}: the status is not documented; the body is ${text.slice(0, 300)}`);
    const escaped = at.path.replaceAll('~', '~0').replaceAll('/', '~1');
    const [answer, pointer] = resolve(documented, `/paths/${escaped}/${method.toLowerCase()}/responses/${status}`);

    for (const [name, given] of Object.entries(answer.headers ?? {})) {
      const [header, headerPointer] = resolve(given, `${pointer}/headers/${name}`);
      const value = headers.get(name);
      if (value === null) {
        assert.ok(header.required !== true, `${where}: the header ${name} is missing`);
        continue;
      }
      const typed = header.schema.type === 'integer' && /^-?\d+$/.test(value) ? Number(value) : value;
      assert.deepEqual(faults(`${headerPointer}/schema`, typed), [], `${where}: header ${name}`);
    }
    if (answer.content === undefined) {
      assert.equal(text, '', `${where}: no body is documented`);
      return;
    }
    const [type] = (headers.get('content-type') ?? '').split(';');
    assert.deepEqual([type], Object.keys(answer.content), `${where}: media type`);
    const media = `${pointer}/content/${type?.replaceAll('/', '~1')}/schema`;
    assert.deepEqual(faults(media, JSON.parse(text)), [], where);
  };

  return {
    operations,
    watch,
    statuses: (operationId) => [...(seen.get(operationId) ?? [])].sort(),
    missing: () =>
      operations.flatMap(({ operation: { operationId, responses } }) => {
        const statuses = seen.get(operationId);
        if (statuses === undefined) return [`${operationId} was never called`];
        const successes = Object.keys(responses)
          .map(Number)
          .filter((status) => status < 300);
        return successes
          .filter((status) => !statuses.has(status))
          .map((status) => `${operationId} never answered ${status}`);
      }),
  };
}
