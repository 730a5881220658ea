import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type LiveFlags, readableDocument } from '#domain/flags/index.ts';

/** The document that the release was built with: what a first installation begins with. */
const DEFAULTS = path.resolve(import.meta.dirname, '../../../flags.yaml');

/** The data of a source ConfigMap made anew: what is live, or the defaults with their comments. */
export async function restoredSource(live: LiveFlags | undefined): Promise<Record<string, string>> {
  if (!live) return { 'flags.yaml': await readFile(DEFAULTS, 'utf8') };
  const { key, text } = readableDocument(live);
  return { [key]: text };
}
