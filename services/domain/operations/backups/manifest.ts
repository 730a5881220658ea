import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { z } from 'zod';
import { fail, KlarError } from '#platform/errors/index.ts';
import { type BackupStore, MANIFEST } from './backup-store.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const time = z.iso.datetime();

const body = z.strictObject({
  /** Raised when a reader of before could not restore what is written; additions do not raise it. */
  format: z.literal(1),
  id: z.string().min(1),
  created_at: time,
  /** The moment whose data this is. */
  snapshot_at: time,
  server_version: z.string(),
  pg_dump_version: z.string(),
  /** `ops.schema_version()` in the snapshot. */
  schema_version: z.int(),
  image_digest: z.string().optional(),
  commit: z.string().optional(),
  /** Public keys (age1...) whose holders can read the parts; null: the parts are readable to whoever has them. */
  encrypted: z.strictObject({ recipients: z.array(z.string()).min(1) }).nullable(),
  /** Stored objects, the manifest excepted. A name is the dump's own file name, with `.age` when encrypted. */
  parts: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/),
        bytes: z.int().min(0),
        sha256,
      }),
    )
    .min(1),
  /** Every table of the dump with its rows in the snapshot; `digest` does not depend on their order (see counts). */
  tables: z.array(
    z.strictObject({ schema: z.string(), name: z.string(), rows: z.int().min(0), digest: z.string().optional() }),
  ),
  /** Sums of money in minor units, as text: they may exceed what a JSON number holds. */
  sums: z.array(z.strictObject({ name: z.string(), currency: z.string().optional(), value: z.string() })),
  /** Of the server: databases of one server have the same. */
  system_identifier: z.string().optional(),
  /** Of the text that `klar schema export` prints: tables, policies, grants, functions. */
  catalog_sha256: sha256,
  /** Uploaded files; null as long as there are none. */
  files: z.null(),
});

/** manifest.json: what the backup holds, and how to see that it holds it. */
export const manifestSchema = body.extend({ manifest_sha256: sha256 });

export type ManifestBody = z.infer<typeof body>;
export type Manifest = z.infer<typeof manifestSchema>;

/** JSON with the keys in one order: the same content gives the same bytes. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(',')}}`;
}

const digestOf = (content: ManifestBody) => createHash('sha256').update(canonicalJson(content)).digest('hex');

/** Adds the manifest's own digest. */
export function sealManifest(content: ManifestBody): Manifest {
  return { ...content, manifest_sha256: digestOf(content) };
}

/**
 * Takes the text of a manifest.json.
 * @throws KlarError `backup_manifest_broken` when it is not JSON, not a manifest, of another backup, or was changed;
 *   `backup_format_unknown` when a newer Klar wrote it
 */
export function parseManifest(text: string, id: string): Manifest {
  const broken = (why: string) =>
    fail.unprocessable('backup_manifest_broken', `${id}/${MANIFEST} ${why}; this backup cannot be trusted.`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw broken(text.trim() === '' ? 'is empty' : 'is not JSON: it was cut off or changed');
  }
  const format = (json as { format?: unknown } | null)?.format;
  if (typeof format === 'number' && format > 1) {
    throw fail.unprocessable(
      'backup_format_unknown',
      `${id} has format ${format}; restore it with the Klar that made it.`,
    );
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw broken(`is not a manifest (${issue?.path.join('.')}: ${issue?.message})`);
  }
  const { manifest_sha256, ...content } = parsed.data;
  if (manifest_sha256 !== digestOf(content)) throw broken('does not match its own digest: it was changed');
  if (content.id !== id) throw broken(`says that it is of ${content.id}`);
  return parsed.data;
}

/** More than a manifest of a hundred thousand tables; a longer one is something else. */
const LONGEST = 64 * 1024 * 1024;

/**
 * Reads and checks the manifest of a backup.
 * @throws KlarError as `parseManifest`, and as `BackupStore.get`; `backup_manifest_missing` when there are parts only
 */
export async function readManifest(store: BackupStore, id: string): Promise<Manifest> {
  try {
    return parseManifest(await textOf(await store.get(id, MANIFEST)), id);
  } catch (error) {
    if (!(error instanceof KlarError) || error.code !== 'backup_object_missing') throw error;
    for await (const backup of store.list()) {
      if (backup.id !== id) continue;
      throw fail.unprocessable(
        'backup_manifest_missing',
        `${id} has parts but no manifest: it was never finished, or its commit mark was taken away.`,
      );
    }
    throw error;
  }
}

async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > LONGEST) throw fail.unprocessable('backup_manifest_broken', `${MANIFEST} is too long to be one.`);
  }
  return Buffer.concat(chunks).toString('utf8');
}
