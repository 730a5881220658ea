import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import type { Secret } from '#platform/config/index.ts';
import { fail } from '#platform/errors/index.ts';
import { type BackupStore, MANIFEST, type StoredBackup, type StoredObject } from './backup-store.ts';
import { timeOfId } from './id.ts';
import { guarded } from './stall.ts';
import { missing } from './store-file.ts';
import { isMissing, s3Error, statusOf } from './store-s3-errors.ts';

export interface S3StoreInput {
  bucket: string;
  /** Without slashes at its ends; empty: the bucket itself. */
  prefix: string;
  /** Absent: AWS. */
  endpoint?: string | undefined;
  region?: string | undefined;
  /** Absent: what the AWS client finds by itself (a pod's role). */
  keyId?: Secret | undefined;
  secretKey?: Secret | undefined;
  sessionToken?: Secret | undefined;
  /** A request without any byte for so long is tried again; default 30 s. */
  idleMs?: number | undefined;
  /** Tries of one request; default 8, which is about half a minute of a store that answers 500. */
  attempts?: number | undefined;
}

/**
 * Ten thousand pieces of this size are the largest object (156 GiB): one table, compressed. Three pieces are in memory
 * at once.
 */
const PIECE = 16 * 1024 * 1024;

/** A bucket of anything that speaks S3. The client is loaded here and nowhere else. */
export async function s3Store(input: S3StoreInput): Promise<BackupStore> {
  const { bucket, prefix, idleMs = 30_000 } = input;
  const sdk = await import('@aws-sdk/client-s3');
  const client = makeClient(sdk.S3Client, { ...input, idleMs });
  const url = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
  const base = prefix === '' ? '' : `${prefix}/`;
  const where = (id: string, name: string) => ({ Bucket: bucket, Key: `${base}${id}/${name}` });
  const told = (error: unknown): never => {
    throw s3Error(error, url);
  };

  async function* list(): AsyncIterable<StoredBackup> {
    let open: StoredBackup | undefined;
    for await (const { key, bytes, at } of objects(base)) {
      const [id = '', name = ''] = key.slice(base.length).split('/');
      const begun = timeOfId(id);
      if (begun === undefined || name === '') continue;
      // Listings come in the order of their keys, so the objects of one backup stand together.
      if (open !== undefined && open.id !== id) yield open;
      const before: StoredBackup =
        open?.id === id ? open : { id, at: begun, committed: false, bytes: 0, changedAt: new Date(0) };
      open = {
        ...before,
        committed: before.committed || name === MANIFEST,
        bytes: before.bytes + bytes,
        changedAt: new Date(Math.max(at.getTime(), before.changedAt.getTime())),
      };
    }
    if (open !== undefined) yield open;
  }

  async function* objects(under: string): AsyncGenerator<{ key: string; bytes: number; at: Date }> {
    let token: string | undefined;
    do {
      const page = await client
        .send(new sdk.ListObjectsV2Command({ Bucket: bucket, Prefix: under, ContinuationToken: token }))
        .catch(told);
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        yield { key: Key ?? '', bytes: Size ?? 0, at: LastModified ?? new Date(0) };
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  // Asked of every write, so that a policy can demand it: then even the writer can replace nothing. Ids do not repeat, so
  // with a store that does not know conditions nothing is lost but that.
  let condition: { IfNoneMatch?: string } = { IfNoneMatch: '*' };
  const withoutCondition = (error: unknown) => {
    const refused = statusOf(error) === 501 || (error as Error).name === 'NotImplemented';
    if (refused && condition.IfNoneMatch !== undefined) {
      condition = {};
      return true;
    }
    return false;
  };

  /** Also what the second try of our own write is told when the answer to the first was lost: then it is there, whole. */
  async function isOurs(error: unknown, id: string, name: string, sent: StoredObject): Promise<StoredObject> {
    if (statusOf(error) !== 412) throw error;
    const there = await digestOf(await get(id, name));
    if (there.sha256 !== sent.sha256) {
      throw fail.conflict('backup_object_exists', `${url}/${id}/${name} is there already.`);
    }
    return there;
  }

  async function putPart(id: string, name: string, stream: Readable): Promise<StoredObject> {
    const { Upload } = await import('@aws-sdk/lib-storage');
    const meter = metered(stream);
    const upload = new Upload({
      client,
      params: { ...where(id, name), ...condition, Body: meter.stream },
      partSize: PIECE,
      queueSize: 2,
      leavePartsOnError: false,
    });
    try {
      await upload.done();
    } catch (error) {
      stream.destroy();
      if (withoutCondition(error)) {
        throw fail.unavailable('backup_store_again', `${url} takes no conditional writes; once more without.`, 0);
      }
      return isOurs(error, id, name, meter.result());
    }
    const stored = meter.result();
    const head = await client.send(new sdk.HeadObjectCommand(where(id, name)));
    if (head.ContentLength !== stored.bytes) {
      const held = `${url}/${id}/${name} holds ${head.ContentLength} of the ${stored.bytes} bytes sent.`;
      throw fail.unavailable('backup_store_failed', held, 60);
    }
    return stored;
  }

  /** One request, so that the commit mark appears whole. */
  async function putManifest(id: string, name: string, stream: Readable): Promise<StoredObject> {
    const body = Buffer.concat(await stream.toArray());
    const sent = await digestOf(Readable.from([body], { objectMode: false }));
    const send = () => client.send(new sdk.PutObjectCommand({ ...where(id, name), ...condition, Body: body }));
    try {
      await send().catch((error) => {
        if (withoutCondition(error)) return send();
        throw error;
      });
      return sent;
    } catch (error) {
      return isOurs(error, id, name, sent);
    }
  }

  async function get(id: string, name: string): Promise<Readable> {
    const answer = await client.send(new sdk.GetObjectCommand(where(id, name))).catch((error) => {
      if (isMissing(error) && (error as Error).name !== 'NoSuchBucket') throw missing(url, id, name);
      return told(error);
    });
    const body = guarded(answer.Body as Readable, {
      idleMs,
      length: answer.ContentLength,
      what: `${url}/${id}/${name}`,
    });
    return Readable.from(mapped(body, told), { objectMode: false });
  }

  return {
    url,
    list,
    get,
    put: (id, name, stream) => (name === MANIFEST ? putManifest : putPart)(id, name, stream).catch(told),
    async remove(id) {
      if (timeOfId(id) === undefined) throw fail.invalid('backup_id_wrong', `${id} is no id of a backup.`);
      const drop = (Key: string) => client.send(new sdk.DeleteObjectCommand({ Bucket: bucket, Key })).catch(told);
      await drop(where(id, MANIFEST).Key);
      for await (const { key } of objects(`${base}${id}/`)) await drop(key);
    },
    close: async () => client.destroy(),
  };
}

function makeClient(Client: typeof S3Client, input: S3StoreInput & { idleMs: number }): S3Client {
  const { keyId, secretKey, sessionToken, endpoint, idleMs } = input;
  const credentials =
    keyId && secretKey
      ? {
          // Asked again before each request, so that a rotated key is taken up.
          credentials: async () => ({
            accessKeyId: keyId.current(),
            secretAccessKey: secretKey.current(),
            ...(sessionToken ? { sessionToken: sessionToken.current() } : {}),
            expiration: new Date(Date.now() + 60_000),
          }),
        }
      : {};
  return new Client({
    region: input.region ?? 'us-east-1',
    ...(endpoint ? { endpoint, forcePathStyle: true } : {}),
    ...credentials,
    maxAttempts: input.attempts ?? 8,
    requestHandler: {
      connectionTimeout: 5_000,
      requestTimeout: idleMs * 4,
      socketTimeout: idleMs,
      throwOnRequestTimeout: true,
    },
    // Stores beside AWS know few of the newer checksums; what is read is compared with the manifest's SHA-256.
    ...(endpoint
      ? ({ requestChecksumCalculation: 'WHEN_REQUIRED', responseChecksumValidation: 'WHEN_REQUIRED' } as const)
      : {}),
  });
}

/** Digest and length of what goes by. */
function metered(source: Readable): { stream: Readable; result(): StoredObject } {
  const hash = createHash('sha256');
  let bytes = 0;
  async function* pass() {
    for await (const chunk of source) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      yield chunk as Buffer;
    }
  }
  return {
    stream: Readable.from(pass(), { objectMode: false }),
    result: () => ({ bytes, sha256: hash.digest('hex') }),
  };
}

async function* mapped(source: Readable, told: (error: unknown) => never): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of source) yield chunk as Buffer;
  } catch (error) {
    told(error);
  }
}

async function digestOf(stream: Readable): Promise<StoredObject> {
  const meter = metered(stream);
  for await (const _ of meter.stream);
  return meter.result();
}
