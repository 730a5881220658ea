import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { guarded } from '../../../services/domain/operations/backups/stall.ts';

const source = (chunks: string[], end = true) => {
  const stream = new Readable({ read() {} });
  for (const chunk of chunks) stream.push(Buffer.from(chunk));
  if (end) stream.push(null);
  return stream;
};
const read = async (stream: Readable) => Buffer.concat(await stream.toArray()).toString();

describe('a guarded stream', () => {
  it('passes on what comes', async () => {
    assert.equal(await read(guarded(source(['ro', 'ws']), { idleMs: 1_000, length: 4, what: 'x' })), 'rows');
    assert.equal(await read(guarded(source(['rows']), { idleMs: 1_000, length: undefined, what: 'x' })), 'rows');
  });
  it('fails when it ends early', async () => {
    const short = guarded(source(['ro']), { idleMs: 1_000, length: 4, what: 'toc.dat' });
    await assert.rejects(read(short), { code: 'ECONNRESET', message: 'toc.dat: cut off after 2 of 4 bytes' });
  });
  it('fails when nothing comes any more', async () => {
    const stalled = guarded(source(['ro'], false), { idleMs: 20, length: 4, what: 'toc.dat' });
    await assert.rejects(read(stalled), { code: 'ETIMEDOUT' });
  });
});
