import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { KubeCredentials, KubeEndpoint } from './endpoint.ts';
import { KubeError, type KubeStatus } from './errors.ts';
import { createLineSplitter } from './lines.ts';
import { systemTiming, type Timing } from './timing.ts';

export type KubeRequest = {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** From `/api` or `/apis` on; its parts are encoded by the caller. */
  path: string;
  query?: Record<string, string | number | boolean | undefined> | undefined;
  body?: unknown;
  contentType?: string | undefined;
  signal?: AbortSignal | undefined;
  /** For everything, from the lookup of the name to the last byte. */
  timeoutMs?: number | undefined;
  /** Does not wait for a connection behind requests that hang: for a lease, which ends by waiting. */
  urgent?: boolean | undefined;
};

export type KubeWatch = Omit<KubeRequest, 'method' | 'body' | 'contentType' | 'urgent'> & {
  timeoutMs: number;
  /** One JSON document. A throw ends the watch with that error. */
  onLine(line: string): void;
};

export type KubeClient = {
  /** @throws KubeError for a refusal, Error for a connection that broke or an answer that is no JSON */
  request<T>(request: KubeRequest): Promise<T>;
  /** Resolves when the server ends the stream in order. */
  watch(watch: KubeWatch): Promise<void>;
  close(): void;
};

/** A stalled API server answers after 10 s or so; what takes longer is asked again. */
const REQUEST_TIMEOUT_MS = 15_000;
/** An answer of a list is at most 500 objects of 1.5 MiB; we list a handful of ConfigMaps. */
const ANSWER_MAX = 64 * 1024 * 1024;
/** The kubelet replaces a token long before it ends; the file need not be read for each request. */
const CREDENTIALS_MS = 10_000;
/** Requests that run at once. A watch has a connection of its own, so that watches never starve a lease's renewal. */
const CONNECTIONS = 8;

/** Requests and watches on connections that we hold ourselves; nothing is retried here. */
export function createKubeClient(input: { endpoint: KubeEndpoint; timing?: Timing }): KubeClient {
  const { endpoint } = input;
  const timing = input.timing ?? systemTiming;
  const server = new URL(endpoint.server);
  const secure = server.protocol === 'https:';
  const Agent = secure ? https.Agent : http.Agent;
  const requests = new Agent({ keepAlive: true, maxSockets: CONNECTIONS, maxFreeSockets: 2 });
  const urgent = new Agent({ keepAlive: true, maxSockets: 2, maxFreeSockets: 1 });
  // Not kept alive: a connection over which a watch went silent must never serve a request.
  const watches = new Agent({ keepAlive: false });
  let known: { value: KubeCredentials; at: number } | undefined;

  async function credentials(): Promise<KubeCredentials> {
    if (known && timing.monotonic() - known.at < CREDENTIALS_MS) return known.value;
    known = { value: await endpoint.credentials(), at: timing.monotonic() };
    return known.value;
  }

  async function send(call: Call): Promise<void> {
    const { authorization, ...tls } = await credentials();
    call.signal?.throwIfAborted();
    const base = server.pathname.replace(/\/$/, '');
    const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body));
    await new Promise<void>((resolve, reject) => {
      const end = (error?: unknown) => {
        cancel();
        call.signal?.removeEventListener('abort', abort);
        if (error === undefined) return resolve();
        // Whatever went wrong: a connection with half an answer on it is not used again.
        request.destroy();
        reject(error);
      };
      const abort = () => end(call.signal?.reason);
      const request = (secure ? https : http).request({
        agent: call.watch ? watches : call.urgent ? urgent : requests,
        hostname: server.hostname.replace(/^\[|\]$/g, ''),
        port: server.port || (secure ? 443 : 80),
        method: call.method,
        path: `${base}${call.path}${queryOf(call.query)}`,
        headers: {
          accept: 'application/json',
          ...(authorization ? { authorization } : {}),
          ...(body ? { 'content-type': call.contentType ?? 'application/json', 'content-length': body.length } : {}),
        },
        ...(secure ? tls : {}),
      });
      const cancel = timing.after(call.timeoutMs, () =>
        end(new Error(`no end of ${call.method} ${call.path} within ${call.timeoutMs} ms`)),
      );
      call.signal?.addEventListener('abort', abort);
      // Stays after the end: an error of a destroyed request has nobody else to catch it.
      request.on('error', end);
      request.on('response', (response: IncomingMessage) => {
        response.setEncoding('utf8');
        // An answer that breaks off is an error here, and no end.
        response.on('error', end);
        const status = response.statusCode ?? 0;
        const take = status === 200 || status === 201 ? call.onChunk : undefined;
        let refusal = '';
        response.on('data', (chunk: string) => {
          try {
            if (take) take(chunk);
            else if (refusal.length < 65_536) refusal += chunk;
          } catch (error) {
            end(error);
          }
        });
        response.on('end', () => {
          if (take) return end();
          if (status === 401) known = undefined;
          end(new KubeError(status, statusOf(refusal), response.headers['retry-after']));
        });
      });
      request.end(body);
    });
  }

  return {
    async request<T>(request: KubeRequest): Promise<T> {
      const chunks: string[] = [];
      let size = 0;
      const onChunk = (chunk: string) => {
        size += chunk.length;
        if (size > ANSWER_MAX) throw new Error(`the answer to ${request.method} ${request.path} is too long`);
        chunks.push(chunk);
      };
      await send({ timeoutMs: REQUEST_TIMEOUT_MS, ...request, watch: false, onChunk });
      return JSON.parse(chunks.join('')) as T;
    },
    watch: ({ onLine, ...watch }) =>
      send({ ...watch, method: 'GET', watch: true, onChunk: createLineSplitter(onLine) }),
    close() {
      requests.destroy();
      urgent.destroy();
      watches.destroy();
    },
  };
}

type Call = KubeRequest & { watch: boolean; timeoutMs: number; onChunk(chunk: string): void };

function queryOf(query: KubeRequest['query']): string {
  const pairs = Object.entries(query ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [`${encodeURIComponent(name)}=${encodeURIComponent(value)}`],
  );
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

function statusOf(text: string): KubeStatus | undefined {
  try {
    const body = JSON.parse(text) as KubeStatus | null;
    return typeof body === 'object' && body !== null ? body : undefined;
  } catch {
    // A proxy's page: its status code says enough, and its text is not ours to log.
    return undefined;
  }
}
