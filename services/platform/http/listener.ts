import type { RequestListener, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from './node-http.ts';

/** How long a connection that never sent a byte may keep a closing server: a balancer may be about to use it. */
const SILENT_MS = 1_000;

export interface HttpServer {
  readonly port: number;
  /** From now on every answer says `Connection: close`: clients move elsewhere by themselves while we still serve. */
  drain(): void;
  /** Stops accepting, lets requests in flight finish, resolves when the last connection is closed. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Starts a server with limits against slow and oversized requests.
 * @param port 0 takes any free port
 */
export async function listen(
  handler: RequestListener,
  { port, host }: { port: number; host?: string },
): Promise<HttpServer> {
  let draining = false;
  const running = new Set<ServerResponse>();
  const server: Server = createServer(
    {
      // 16 KiB of headers; more is answered 431 by Node.
      maxHeaderSize: 16 * 1024,
      // Slow headers and slow bodies: 408 by Node.
      headersTimeout: 15_000,
      requestTimeout: 30_000,
      // Longer than the 60 s of common load balancers: else they reuse a connection in the moment we close it.
      keepAliveTimeout: 65_000,
      connectionsCheckingInterval: 5_000,
    },
    (req, res) => {
      if (draining) res.setHeader('Connection', 'close');
      running.add(res);
      res.once('close', () => running.delete(res));
      handler(req, res);
    },
  );
  server.maxRequestsPerSocket = 0;
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  function drain() {
    draining = true;
    // A request that came before would keep its connection open, idle, until the keep-alive timeout.
    for (const res of running) if (!res.headersSent) res.setHeader('Connection', 'close');
  }
  return {
    port: (server.address() as AddressInfo).port,
    drain,
    close(graceMs = 18_000) {
      drain();
      return new Promise((resolve) => {
        // Stops accepting and closes idle connections; those with a request end after its answer.
        const cut = setTimeout(() => server.closeAllConnections(), graceMs);
        cut.unref();
        // To Node a connection without a first request is not idle: one silent client would hold the stop until the cut.
        const silent = setTimeout(() => {
          for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
        }, SILENT_MS);
        server.close(() => {
          clearTimeout(cut);
          clearTimeout(silent);
          resolve();
        });
      });
    },
  };
}
