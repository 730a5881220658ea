import { Readable } from 'node:stream';

/**
 * Passes a stream on and fails it when nothing comes for `idleMs`, or when it ends at another length than it said.
 * A half-open connection would otherwise wait for ever, and a cut-off one look like a short object.
 */
export function guarded(
  source: Readable,
  options: { idleMs: number; length: number | undefined; what: string },
): Readable {
  const { idleMs, length, what } = options;
  async function* pass(): AsyncGenerator<Buffer> {
    let seen = 0;
    let timer: NodeJS.Timeout | undefined;
    const arm = () => {
      clearTimeout(timer);
      timer = setTimeout(() => source.destroy(coded('ETIMEDOUT', `${what}: nothing came for ${idleMs} ms`)), idleMs);
    };
    try {
      arm();
      for await (const chunk of source) {
        // The reader's own pause is not the source's.
        clearTimeout(timer);
        seen += (chunk as Buffer).length;
        yield chunk as Buffer;
        arm();
      }
      if (length !== undefined && seen !== length) {
        throw coded('ECONNRESET', `${what}: cut off after ${seen} of ${length} bytes`);
      }
    } finally {
      clearTimeout(timer);
      source.destroy();
    }
  }
  return Readable.from(pass(), { objectMode: false });
}

function coded(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
