import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connectSocket } from '../../../services/platform/db/connect-socket.ts';

/** A socket whose other side says nothing until told. */
class Silent extends EventEmitter {
  connecting = true;
  destroyed: Error | undefined;
  destroy(error: Error) {
    this.destroyed = error;
    this.emit('close');
  }
}

const begin = (withinMs: number) => {
  const silent = new Silent();
  connectSocket(silent as unknown as Socket, withinMs);
  return silent;
};

describe('a socket to the database', () => {
  it('gives up when nobody takes the connection', async () => {
    const silent = begin(20);
    silent.emit('connectionAttempt');
    await pause(60);
    assert.equal((silent.destroyed as { code?: string } | undefined)?.code, 'ETIMEDOUT');
  });

  it('has all the time it needs to resolve the name', async () => {
    const silent = begin(20);
    await pause(60);
    assert.equal(silent.destroyed, undefined);
  });

  it('looks at what came from the network before it gives up after a stall', async () => {
    const silent = begin(10);
    silent.emit('connectionAttempt');
    // The timer is due, and so is the news: a loop that stood still runs its timers first.
    setTimeout(() =>
      setImmediate(() => {
        silent.connecting = false;
        silent.emit('connect');
      }),
    );
    const until = performance.now() + 50;
    while (performance.now() < until);
    await pause(50);
    assert.equal(silent.destroyed, undefined);
  });

  it('connects as any other', async () => {
    const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const socket = connectSocket();
    socket.connect(port, '127.0.0.1');
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
});
