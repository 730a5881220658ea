import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { request as send } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { KubeEndpoint } from '../../../services/controller/kube/endpoint.ts';

/** What goes wrong with one request of one client. */
export type Hostility =
  | { kind: 'reset' }
  /** Headers, and then never anything again; what was open already goes silent, too. */
  | { kind: 'half-open' }
  | { kind: 'answer'; status: number; reason: string; retryAfterS?: number }
  /** Half of the real answer, then an end: in order, or by a reset. Of a watch: half of its first event. */
  | { kind: 'truncate'; orderly: boolean }
  | { kind: 'stall'; ms: number }
  /** Everything that this client's watches were told so far, once more. */
  | { kind: 'replay' }
  /** The API server is asked for a version that it forgot long ago: its own 410. */
  | { kind: 'outdated' }
  /** A 410 within a stream that began with 200. */
  | { kind: 'expired-event' };

/** One request as a hostility chooses. */
export interface Asked {
  readonly who: string;
  readonly method: string;
  readonly watch: boolean;
  readonly path: string;
}

/** A way to a real API server that can be made hostile, client by client. */
export interface HostileProxy {
  /** The API server as this client sees it. */
  url(who: string): string;
  /** Asked for each request. */
  hostility: (asked: Asked) => Hostility | undefined;
  /** Breaks what a client has open. */
  cut(who: string): void;
  /** From now on nothing goes through to this client in either direction, without a word; undone by `false`. */
  freeze(who: string, frozen: boolean): void;
  /** Requests so far, those that were refused included. */
  asked(who: string): number;
  /** How often the API server itself told this client that its version is gone. */
  gone(who: string): number;
  /** Open connections of this client. */
  sockets(who: string): number;
  close(): Promise<void>;
}

interface Client {
  open: Set<ServerResponse>;
  sockets: Set<Socket>;
  frozen: boolean;
  asked: number;
  gone: number;
  /** Whole lines that its watches were told. */
  told: string;
}

const EXPIRED = {
  kind: 'Status',
  status: 'Failure',
  code: 410,
  reason: 'Expired',
  message: 'too old resource version',
};

/** Speaks HTTP to its clients and TLS with the given endpoint's credentials to the API server. */
export async function startHostileProxy(endpoint: KubeEndpoint): Promise<HostileProxy> {
  const clients = new Map<string, Client>();
  const clientOf = (who: string): Client => {
    const client = clients.get(who) ?? {
      open: new Set(),
      sockets: new Set(),
      frozen: false,
      asked: 0,
      gone: 0,
      told: '',
    };
    clients.set(who, client);
    return client;
  };

  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://proxy');
    const [, who = '', ...rest] = url.pathname.split('/');
    const client = clientOf(who);
    const path = `/${rest.join('/')}`;
    const watch = url.searchParams.get('watch') === 'true';
    client.asked += 1;
    client.open.add(response);
    if (!client.sockets.has(request.socket)) {
      client.sockets.add(request.socket);
      request.socket.once('close', () => client.sockets.delete(request.socket));
    }
    response.once('close', () => client.open.delete(response));
    const hostility = proxy.hostility({ who, method: request.method ?? '', watch, path });
    if (client.frozen) return;
    if (hostility?.kind === 'reset') return void request.socket.resetAndDestroy();
    if (hostility?.kind === 'half-open') {
      if (watch) response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
      return;
    }
    if (hostility?.kind === 'answer') {
      const { status, reason, retryAfterS } = hostility;
      response.writeHead(status, {
        'content-type': 'application/json',
        ...(retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) }),
      });
      return void response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code: status, reason }));
    }
    if (hostility?.kind === 'expired-event') {
      return void response.writeHead(200).end(`${JSON.stringify({ type: 'ERROR', object: EXPIRED })}\n`);
    }
    if (hostility?.kind === 'stall') await pause(hostility.ms);
    if (hostility?.kind === 'outdated') url.searchParams.set('resourceVersion', '1');
    await forward(request, response, client, `${path}${url.search}`, watch, hostility);
  }

  async function forward(
    request: IncomingMessage,
    response: ServerResponse,
    client: Client,
    path: string,
    watch: boolean,
    hostility: Hostility | undefined,
  ): Promise<void> {
    const { authorization, ...tls } = await endpoint.credentials();
    const server = new URL(endpoint.server);
    const outgoing = send({
      ...tls,
      agent: false,
      hostname: server.hostname,
      port: server.port || 443,
      method: request.method,
      path,
      headers: {
        accept: 'application/json',
        ...(authorization ? { authorization } : {}),
        ...(request.headers['content-type'] ? { 'content-type': request.headers['content-type'] } : {}),
        ...(request.headers['content-length'] ? { 'content-length': request.headers['content-length'] } : {}),
      },
    });
    const end = () => {
      outgoing.destroy();
      // A frozen client hears of no end either.
      if (!client.frozen) response.destroy();
    };
    outgoing.on('error', end);
    response.once('close', () => outgoing.destroy());
    outgoing.on('response', (incoming) => {
      incoming.on('error', end);
      if (client.frozen) return;
      if (incoming.statusCode === 410) client.gone += 1;
      const retryAfter = incoming.headers['retry-after'];
      response.writeHead(incoming.statusCode ?? 502, {
        'content-type': 'application/json',
        ...(retryAfter ? { 'retry-after': retryAfter } : {}),
      });
      response.flushHeaders();
      if (hostility?.kind === 'replay') response.write(client.told);
      if (hostility?.kind === 'truncate') return truncate(incoming, response, watch, hostility.orderly);
      let line = '';
      incoming.on('data', (chunk: Buffer) => {
        if (client.frozen) return;
        response.write(chunk);
        if (!watch || incoming.statusCode !== 200) return;
        line += chunk.toString();
        const whole = line.lastIndexOf('\n') + 1;
        if (/"type":"ERROR".*"code":410/.test(line.slice(0, whole))) client.gone += 1;
        client.told += line.slice(0, whole);
        line = line.slice(whole);
      });
      incoming.on('end', () => {
        if (!client.frozen) response.end();
      });
    });
    request.pipe(outgoing);
  }

  function truncate(incoming: IncomingMessage, response: ServerResponse, watch: boolean, orderly: boolean): void {
    const chunks: Buffer[] = [];
    const cut = () => {
      const all = Buffer.concat(chunks);
      const half = all.subarray(0, all.length / 2);
      if (orderly) response.end(half);
      else response.write(half, () => response.destroy());
    };
    incoming.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if (watch) cut();
    });
    incoming.on('end', cut);
  }

  const server = createServer((request, response) => {
    receive(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: HostileProxy = {
    url: (who) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/${who}`,
    hostility: () => undefined,
    cut(who) {
      for (const response of clientOf(who).open) response.destroy();
    },
    freeze(who, frozen) {
      const client = clientOf(who);
      client.frozen = frozen;
      // What was silent stays dead, as after a partition.
      if (!frozen) for (const socket of client.sockets) socket.destroy();
    },
    gone: (who) => clientOf(who).gone,
    asked: (who) => clientOf(who).asked,
    sockets: (who) => clientOf(who).sockets.size,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return proxy;
}
