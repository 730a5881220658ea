import type { IncomingMessage } from 'node:http';
import { fail } from '#platform/errors/index.ts';

/** Nesting that a business document never needs; beyond it are only attacks on recursive code. */
const MAX_DEPTH = 32;

/**
 * The JSON body of a request, or undefined when there is none.
 * @throws KlarError too_large, unsupported_media, invalid (`invalid_json`, `invalid_text`)
 */
export async function readJson(req: IncomingMessage, limit: number): Promise<unknown> {
  const length = req.headers['content-length'];
  const hasBody = req.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
  if (!hasBody) return undefined;
  if (length !== undefined && Number(length) > limit) throw tooLarge(limit);
  const encoding = req.headers['content-encoding'];
  // A compressed body could be a thousand times its size.
  if (encoding !== undefined && encoding !== 'identity') {
    throw fail.unsupportedMedia('unsupported_media_type', 'Send the body without Content-Encoding.');
  }
  if (!isJson(req.headers['content-type'])) {
    throw fail.unsupportedMedia('unsupported_media_type', 'Send the body as application/json.');
  }
  const bytes = await readBytes(req, limit);
  return bytes.length === 0 ? undefined : parseJson(bytes);
}

/** `application/json`, with no charset or UTF-8. */
export function isJson(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(contentType.trim());
}

/** The raw bytes, never more than `limit` in memory. */
export function readBytes(req: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const stop = (error: unknown) => {
      req.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose);
      if (error !== undefined) reject(error);
    };
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) {
        req.pause();
        stop(tooLarge(limit));
      } else chunks.push(chunk);
    };
    const onEnd = () => {
      stop(undefined);
      resolve(Buffer.concat(chunks, size));
    };
    const gone = () => fail.invalid('request_incomplete', 'The request ended before its body did.');
    const onError = () => stop(gone());
    const onClose = () => stop(gone());
    req.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose);
  });
}

const tooLarge = (limit: number) => fail.tooLarge('body_too_large', `The body is larger than ${limit} bytes.`);

/** @throws KlarError invalid; the parser's own message would quote the body and is dropped */
export function parseJson(bytes: Buffer): unknown {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw fail.invalid('invalid_json', 'The body is not JSON in UTF-8.');
  }
  checkTree(value);
  return value;
}

/** Walks without recursion: the walker must survive what it is there to find. */
function checkTree(root: unknown): void {
  const rest: { value: unknown; depth: number }[] = [{ value: root, depth: 0 }];
  for (let at = rest.pop(); at !== undefined; at = rest.pop()) {
    const { value, depth } = at;
    if (typeof value === 'string') checkText(value);
    if (typeof value !== 'object' || value === null) continue;
    if (depth >= MAX_DEPTH) throw fail.invalid('invalid_json', `The body is nested deeper than ${MAX_DEPTH} levels.`);
    for (const [key, child] of Object.entries(value)) {
      // JSON.parse makes it an own key; the next Object.assign or merge would make it the prototype.
      if (key === '__proto__') throw fail.invalid('invalid_json', 'The key __proto__ is not accepted.');
      checkText(key);
      rest.push({ value: child, depth: depth + 1 });
    }
  }
}

/** NUL has no place in a PostgreSQL text, a lone surrogate none in its jsonb: both would come back as our 500. */
export function checkText(text: string): void {
  if (text.includes('\0') || !text.isWellFormed()) {
    throw fail.invalid('invalid_text', 'Text must be well-formed Unicode without NUL.');
  }
}
