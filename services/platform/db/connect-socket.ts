import { Socket } from 'node:net';

/**
 * Longer than any way to a database takes, shorter than the second after which a lost first packet is sent again. Where a
 * server has gone without a word (its pod was replaced, its node has no power), packets to it are dropped: a connection begun
 * in its last moment would wait for its own repetitions, and keep its place in the pool, when the server is long back.
 */
const CONNECT_MS = 700;

/** A socket for the driver that gives up with ETIMEDOUT when the other side does not take the connection in time. */
export function connectSocket(socket: Socket = new Socket(), withinMs = CONNECT_MS): Socket {
  const giveUp = () => {
    if (socket.connecting) socket.destroy(Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT' }));
  };
  let timer: NodeJS.Timeout | undefined;
  const done = () => clearTimeout(timer);
  // Not before the name is resolved, which takes its own time.
  socket.on('connectionAttempt', () => {
    clearTimeout(timer);
    // After a stall of this process its timers run before the news from the network: that is looked at first.
    timer = setTimeout(() => setImmediate(giveUp), withinMs);
  });
  return socket.once('connect', done).once('close', done);
}
