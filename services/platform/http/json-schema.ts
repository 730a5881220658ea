import { z } from 'zod';
import { OPENAPI } from './fields.ts';

type Json = Record<string, unknown>;

/**
 * JSON Schemas (2020-12, as OpenAPI 3.1 wants) of zod schemas. A schema with `.meta({ id })` is written once, below
 * components/schemas; where input and output differ, the input's name ends in `Input`.
 */
export function jsonSchemas() {
  const components: Record<string, Json> = {};

  function of(schema: z.ZodType, io: 'input' | 'output'): Json {
    const {
      $schema: _dialect,
      $defs,
      ...root
    } = z.toJSONSchema(schema, {
      target: 'draft-2020-12',
      io,
      unrepresentable: 'any',
      override: ({ zodSchema, jsonSchema }) => {
        const replacement = z.globalRegistry.get(zodSchema as unknown as z.ZodType)?.[OPENAPI];
        if (replacement === undefined) return;
        for (const key of Object.keys(jsonSchema)) delete (jsonSchema as Json)[key];
        Object.assign(jsonSchema, replacement);
      },
    }) as Json;
    const names = new Map<string, string>();
    for (const [name, definition] of Object.entries(($defs as Record<string, Json>) ?? {})) {
      names.set(name, nameFor(name, definition));
    }
    for (const [name, definition] of Object.entries(($defs as Record<string, Json>) ?? {})) {
      components[names.get(name) ?? name] = clean(definition, names);
    }
    const id = root.id;
    const cleaned = clean(root, names);
    if (typeof id !== 'string') return cleaned;
    const name = nameFor(id, cleaned);
    components[name] = cleaned;
    return { $ref: `#/components/schemas/${name}` };
  }

  function nameFor(name: string, definition: Json): string {
    const present = components[name];
    return present === undefined || JSON.stringify(present) === JSON.stringify(clean(definition, new Map()))
      ? name
      : `${name}Input`;
  }

  return { of, shared: () => components };
}

/** Without our markers, and with references that point into the document. */
function clean<T>(node: T, names: ReadonlyMap<string, string>): T {
  if (Array.isArray(node)) return node.map((item) => clean(item, names)) as T;
  if (typeof node !== 'object' || node === null) return node;
  const out: Json = {};
  // Whose idea of an address counts? The pattern is what is checked; another program's `email` format is another idea.
  const patternDecides = 'pattern' in node && (node as Json).format === 'email';
  for (const [key, value] of Object.entries(node)) {
    if (key === OPENAPI || (key === 'id' && typeof value === 'string')) continue;
    if (key === 'format' && patternDecides) continue;
    if (key === '$ref' && typeof value === 'string') {
      const name = value.replace('#/$defs/', '');
      out[key] = `#/components/schemas/${names.get(name) ?? name}`;
    } else out[key] = clean(value, names);
  }
  return out as T;
}
