import net from 'node:net';

export interface TcpProxy {
  port: number;
  /** Chunks that went from clients to the server, in order. One write of a client is one chunk. */
  sent: Buffer[];
  /** Called with each chunk of a client before it is passed on; `false` swallows it and cuts the connection. */
  onClientData: ((data: Buffer) => boolean | undefined) | undefined;
  /** Called with each chunk of the server before it is passed on; `false` swallows it and cuts the connection. */
  onServerData: ((data: Buffer) => boolean | undefined) | undefined;
  /** While set nothing is passed on in either direction, as with a dead peer. */
  frozen: boolean;
  /** On the connections that are open now nothing is passed on any more, and neither side hears of it; new ones work. */
  hang(): void;
  close(): Promise<void>;
}

/** Stands between a client and a server on loopback: counts flights, cuts and freezes connections. */
export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<net.Socket>();
  let hung = new WeakSet<net.Socket>();
  const server = net.createServer((client) => {
    const upstream = net.connect(targetPort, '127.0.0.1');
    const cut = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', cut);
      socket.on('close', () => {
        sockets.delete(socket);
        if (!proxy.frozen && !hung.has(socket)) cut();
      });
    }
    client.on('data', (data: Buffer) => {
      if (proxy.frozen || hung.has(client)) return;
      proxy.sent.push(data);
      if (proxy.onClientData?.(data) === false) cut();
      else upstream.write(data);
    });
    upstream.on('data', (data: Buffer) => {
      if (proxy.frozen || hung.has(upstream)) return;
      if (proxy.onServerData?.(data) === false) cut();
      else client.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: TcpProxy = {
    port: (server.address() as net.AddressInfo).port,
    sent: [],
    onClientData: undefined,
    onServerData: undefined,
    frozen: false,
    hang: () => {
      hung = new WeakSet(sockets);
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
  return proxy;
}

/** The same URL through the proxy. */
export function throughProxy(url: string, proxy: TcpProxy): string {
  const changed = new URL(url);
  changed.port = String(proxy.port);
  return changed.href;
}
