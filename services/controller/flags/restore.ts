import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import type { LiveFlags } from '#domain/flags/index.ts';

/** The document that the release was built with: what a first installation begins with. */
const DEFAULTS = path.resolve(import.meta.dirname, '../../../flags.yaml');

/** YAML is for people; above this size the document's parser takes JSON only. */
const YAML_MAX = 30 * 1024;

/** The data of a source ConfigMap made anew: what is live, or the defaults with their comments. */
export async function restoredSource(live: LiveFlags | undefined): Promise<Record<string, string>> {
  if (!live) return { 'flags.yaml': await readFile(DEFAULTS, 'utf8') };
  const document = parse(live.document) as unknown;
  const yaml = `# Made again from version ${live.version}, which was live.\n${stringify(document, { aliasDuplicateObjects: false })}...\n`;
  return Buffer.byteLength(yaml) <= YAML_MAX ? { 'flags.yaml': yaml } : { 'flags.json': live.document };
}
