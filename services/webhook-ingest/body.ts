import type { IncomingMessage } from 'node:http';

/** The largest body taken. Stripe's events are below 64 KiB; the worker, not the sender, decides what is in them. */
export const MAX_BODY_BYTES = 1024 * 1024;
/** A body that is too large is read to its end up to here, so that the sender sees the 413 and not a reset. */
const DISCARD_BYTES = 8 * MAX_BODY_BYTES;
/** All bodies being received together: five hundred slow megabytes must not become our memory. */
const MAX_PENDING_BYTES = 64 * 1024 * 1024;

export type BodyResult =
  | { kind: 'body'; body: Buffer }
  | { kind: 'too_large'; endless: boolean }
  | { kind: 'no_memory' }
  /** The sender went away: there is nobody to answer. */
  | { kind: 'gone' };

/** Collects raw bodies under a cap each and a cap together. */
export class BodyReader {
  readonly #maxPending: number;
  #pending = 0;

  constructor(maxPendingBytes = MAX_PENDING_BYTES) {
    this.#maxPending = maxPendingBytes;
  }

  /** Calls `done` once. */
  read(request: IncomingMessage, done: (result: BodyResult) => void): void {
    let chunks: Buffer[] = [];
    let bytes = 0;
    let refused: 'too_large' | 'no_memory' | undefined;
    let finished = false;

    const finish = (result: BodyResult): void => {
      if (finished) return;
      finished = true;
      if (!refused) this.#pending -= bytes;
      chunks = [];
      done(result);
    };
    const refuse = (reason: 'too_large' | 'no_memory'): void => {
      this.#pending -= refused ? 0 : bytes;
      refused = reason;
      chunks = [];
    };
    const declared = Number(request.headers['content-length'] ?? 0);
    if (declared > MAX_BODY_BYTES) refuse('too_large');
    if (declared > DISCARD_BYTES) {
      finish({ kind: 'too_large', endless: true });
      return;
    }

    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (refused) {
        if (bytes > DISCARD_BYTES) finish({ kind: 'too_large', endless: true });
        return;
      }
      this.#pending += chunk.length;
      if (bytes > MAX_BODY_BYTES) refuse('too_large');
      else if (this.#pending > this.#maxPending) refuse('no_memory');
      else chunks.push(chunk);
    });
    request.on('end', () => {
      if (refused === 'too_large') finish({ kind: 'too_large', endless: false });
      else if (refused === 'no_memory') finish({ kind: 'no_memory' });
      else {
        const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes);
        finish({ kind: 'body', body });
      }
    });
    request.on('close', () => finish({ kind: 'gone' }));
  }
}
