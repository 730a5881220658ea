import { readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { readCrds } from './crds.ts';
import { goModule } from './modules.ts';

/** The version of Kubernetes that manifests are compared with, when no cluster is there to ask. */
const KUBERNETES = 'v1.34.3';

type Schema = {
  $ref?: string;
  type?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  allOf?: Schema[];
  definitions?: Record<string, Schema>;
  [keyword: string]: unknown;
};

type Kind = { group: string; version: string; kind: string };

/** To kubeconform the group of Kubernetes' core is its version. */
const fileName = ({ group, version, kind }: Kind) => `${kind.toLowerCase()}-${group || version}-${version}.json`;

/** For kubeconform's -schema-location. */
export const schemaLocation = (folder: string): string =>
  `${folder}/{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json`;

/** Writes a JSON schema for each kind of Kubernetes and of the custom resources that this repository uses. */
export async function writeSchemas(folder: string): Promise<number> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const schemas = [...kubernetesSchemas(), ...customSchemas()];
  for (const [kind, schema] of schemas) await writeFile(path.join(folder, fileName(kind)), JSON.stringify(schema));
  return schemas.length;
}

/** A misspelt field is an error, unless the schema says that any field is welcome. */
function close(schema: Schema): Schema {
  const closed: Schema = { ...schema };
  if (schema.properties) {
    closed.properties = Object.fromEntries(Object.entries(schema.properties).map(([name, one]) => [name, close(one)]));
    if (schema.additionalProperties === undefined && schema['x-kubernetes-preserve-unknown-fields'] !== true) {
      closed.additionalProperties = false;
    }
  }
  if (schema.items) closed.items = close(schema.items);
  if (typeof schema.additionalProperties === 'object') closed.additionalProperties = close(schema.additionalProperties);
  if (schema['x-kubernetes-int-or-string'] === true || schema.format === 'int-or-string') {
    closed.type = undefined;
    closed.format = undefined;
    closed.oneOf = [{ type: 'string' }, { type: 'integer' }];
  }
  return closed;
}

/** `#/definitions/x` of everything that a definition needs, itself included. */
function closure(name: string, definitions: Record<string, Schema>, found = new Set<string>()): Set<string> {
  if (found.has(name)) return found;
  found.add(name);
  for (const [, next = ''] of JSON.stringify(definitions[name]).matchAll(/"#\/definitions\/([^"]+)"/g)) {
    closure(next, definitions, found);
  }
  return found;
}

function kubernetesSchemas(): [Kind, Schema][] {
  const file = path.join(goModule('k8s.io/kubernetes', KUBERNETES), 'api/openapi-spec/swagger.json');
  const { definitions: open } = JSON.parse(readFileSync(file, 'utf8')) as { definitions: Record<string, Schema> };
  const definitions = Object.fromEntries(Object.entries(open).map(([name, schema]) => [name, close(schema)]));
  // Written as a string or as a number, whatever its definition says.
  for (const name of [
    'io.k8s.apimachinery.pkg.api.resource.Quantity',
    'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
  ]) {
    definitions[name] = { oneOf: [{ type: 'string' }, { type: 'number' }] };
  }
  return Object.entries(definitions).flatMap(([name, schema]) => {
    const kinds = schema['x-kubernetes-group-version-kind'] as Kind[] | undefined;
    const [kind] = kinds ?? [];
    // Options of requests and the like belong to every group.
    if (!kind || kinds?.length !== 1 || !schema.properties?.apiVersion) return [];
    const needed = [...closure(name, definitions)].map((one) => [one, definitions[one] as Schema] as const);
    return [[kind, { $ref: `#/definitions/${name}`, definitions: Object.fromEntries(needed) }] as [Kind, Schema]];
  });
}

type Crd = {
  spec: { group: string; names: { kind: string }; versions: { name: string; schema: { openAPIV3Schema: Schema } }[] };
};

function customSchemas(): [Kind, Schema][] {
  return [...readCrds().values()].flatMap((text) => {
    const { spec } = parse(text) as Crd;
    return spec.versions.map(({ name, schema }) => {
      const closed = close(schema.openAPIV3Schema);
      const metadata: Schema = { type: 'object' };
      return [
        { group: spec.group, version: name, kind: spec.names.kind },
        { ...closed, properties: { ...closed.properties, metadata } },
      ] as [Kind, Schema];
    });
  });
}
