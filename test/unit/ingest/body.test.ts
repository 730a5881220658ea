import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { BodyReader, type BodyResult, MAX_BODY_BYTES } from '../../../services/webhook-ingest/body.ts';

const MIB = 1024 * 1024;

/** A request as far as the reader looks at one. */
function upload(reader: BodyReader, headers: Record<string, string> = {}) {
  const stream = Object.assign(new PassThrough(), { headers });
  const result = new Promise<BodyResult>((resolve) => reader.read(stream as unknown as IncomingMessage, resolve));
  return {
    result,
    write: (bytes: number) => new Promise<void>((resolve) => stream.write(Buffer.alloc(bytes, 0x20), () => resolve())),
    end: () => stream.end(),
    abort: () => stream.destroy(),
  };
}

describe('reading bodies', () => {
  it('joins the pieces of a body, the largest one that is taken included', async () => {
    const one = upload(new BodyReader());
    for (let i = 0; i < 4; i += 1) await one.write(MAX_BODY_BYTES / 4);
    one.end();
    const result = await one.result;
    assert.equal(result.kind === 'body' && result.body.length, MAX_BODY_BYTES);
  });

  it('refuses one byte more, but reads on so that the sender hears it', async () => {
    const one = upload(new BodyReader());
    await one.write(MAX_BODY_BYTES + 1);
    await one.write(MIB);
    one.end();
    assert.deepEqual(await one.result, { kind: 'too_large', endless: false });
  });

  it('ends with a sender that goes on and on, whether it said so before or not', async () => {
    const silent = upload(new BodyReader());
    for (let i = 0; i < 9; i += 1) await silent.write(MIB);
    assert.deepEqual(await silent.result, { kind: 'too_large', endless: true });
    const honest = upload(new BodyReader(), { 'content-length': String(9 * MIB) });
    assert.deepEqual(await honest.result, { kind: 'too_large', endless: true });
  });

  it('bounds what all bodies together may hold, and takes new ones when the others are done', async () => {
    const reader = new BodyReader(1_000);
    const first = upload(reader);
    const second = upload(reader);
    await first.write(900);
    await second.write(200);
    second.end();
    assert.deepEqual(await second.result, { kind: 'no_memory' });
    first.end();
    assert.equal((await first.result).kind, 'body');
    const third = upload(reader);
    await third.write(1_000);
    third.end();
    assert.equal((await third.result).kind, 'body');
  });

  it('gives back the memory of a sender that left, and of one that was refused', async () => {
    const reader = new BodyReader(MAX_BODY_BYTES);
    for (let i = 0; i < 3; i += 1) {
      const left = upload(reader);
      await left.write(MAX_BODY_BYTES);
      left.abort();
      assert.deepEqual(await left.result, { kind: 'gone' });
      const large = upload(reader, { 'content-length': String(2 * MIB) });
      await large.write(2 * MIB);
      large.end();
      assert.equal((await large.result).kind, 'too_large');
    }
    const whole = upload(reader);
    await whole.write(MAX_BODY_BYTES);
    whole.end();
    assert.equal((await whole.result).kind, 'body');
  });
});
