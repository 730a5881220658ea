import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

type Fields = Record<string, unknown>;
export type FakeObject = Fields & {
  metadata: Fields & { name: string; resourceVersion: string };
  data?: Record<string, string>;
};
type Seen = { method: string; url: URL; body: Fields; contentType: string; who: string };
type Write = { version: number; collection: string; type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: FakeObject };

/** What goes wrong with one request. */
export type Fault =
  | { kind: 'reset' }
  | { kind: 'stall'; ms: number }
  /** Headers, and then never anything again, nor an end. */
  | { kind: 'half-open' }
  | { kind: 'answer'; status: number; reason?: string; headers?: Record<string, string> }
  /** A list or an object of which half arrives. `orderly`: with a correct length, so that only the JSON is broken. */
  | { kind: 'truncate'; orderly?: boolean }
  /** Lines of a watch before its own, raw; then the stream ends when `end` says so. */
  | { kind: 'lines'; text: string; end?: 'orderly' | 'reset' }
  /** Does what was asked and never says so. */
  | { kind: 'lost-answer' };

export type FakeKube = {
  url: string;
  /** Called for every request; its fault happens to it. */
  fault: (request: Seen) => Fault | undefined;
  requests: Seen[];
  sockets(): number;
  watches(): number;
  put(path: string, object: Fields): FakeObject;
  remove(path: string): void;
  get(path: string): FakeObject | undefined;
  /** Forgets what happened: a watch from before is answered 410. */
  compact(form: 'status' | 'event'): void;
  bookmark(): void;
  /** Breaks every watch that runs. */
  cut(): void;
  version(): number;
  close(): Promise<void>;
};

const status = (code: number, reason: string, message = reason) => ({
  kind: 'Status',
  status: 'Failure',
  code,
  reason,
  message,
});

/** Enough of an API server to be hostile: list with pages, watch, PUT by version, apply by owner, POST and DELETE. */
export async function startFakeKube(): Promise<FakeKube> {
  const objects = new Map<string, FakeObject>();
  /** Which manager applied which data key. */
  const owners = new Map<string, Map<string, string>>();
  let writes: Write[] = [];
  let version = 1_000;
  let compacted = 0;
  let compactedForm: 'status' | 'event' = 'status';
  const sockets = new Set<Socket>();
  const watching = new Set<{ url: URL; response: ServerResponse }>();

  const collectionOf = (path: string) => path.slice(0, path.lastIndexOf('/'));
  const line = (type: string, object: Fields) => `${JSON.stringify({ type, object })}\n`;

  /** `metadata.name=x`, and `label=value` where a label selector begins with it. */
  function selects(url: URL, object: FakeObject): boolean {
    const name = url.searchParams.get('fieldSelector')?.replace('metadata.name=', '');
    const [label = '', value] = url.searchParams.get('labelSelector')?.split(',')[0]?.split('=') ?? [];
    const labels = object.metadata.labels as Record<string, string> | undefined;
    return (name === undefined || name === object.metadata.name) && (value === undefined || labels?.[label] === value);
  }

  function write(type: Write['type'], path: string, object: Fields): FakeObject {
    version += 1;
    const metadata = { ...(object.metadata as Fields), resourceVersion: String(version) };
    const stored = structuredClone({ ...object, metadata }) as FakeObject;
    if (type === 'DELETED') objects.delete(path);
    else objects.set(path, stored);
    const collection = collectionOf(path);
    writes.push({ version, collection, type, object: stored });
    for (const watch of watching) {
      if (watch.url.pathname === collection && selects(watch.url, stored)) watch.response.write(line(type, stored));
    }
    return stored;
  }
  const save = (path: string, object: Fields) => write(objects.has(path) ? 'MODIFIED' : 'ADDED', path, object);

  function answer(response: ServerResponse, code: number, body: unknown, fault?: Fault, headers = {}): void {
    if (fault?.kind === 'lost-answer') return void response.destroy();
    const text = JSON.stringify(body);
    if (fault?.kind === 'truncate') {
      const half = text.slice(0, text.length / 2);
      if (fault.orderly) return void response.writeHead(code).end(half);
      response.writeHead(code, { 'content-length': text.length });
      return void response.write(half, () => response.destroy());
    }
    response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(text);
  }

  function list(url: URL, response: ServerResponse, fault: Fault | undefined): void {
    const all = [...objects]
      .filter(([path, object]) => collectionOf(path) === url.pathname && selects(url, object))
      .sort();
    const from = Number(url.searchParams.get('continue') ?? 0);
    const to = from + Number(url.searchParams.get('limit') ?? all.length);
    const metadata = { resourceVersion: String(version), ...(to < all.length ? { continue: String(to) } : {}) };
    answer(response, 200, { kind: 'List', metadata, items: all.slice(from, to).map(([, object]) => object) }, fault);
  }

  function watch(url: URL, response: ServerResponse, fault: Fault | undefined): void {
    const since = Number(url.searchParams.get('resourceVersion'));
    const gone = status(410, 'Expired', 'too old resource version');
    if (since < compacted && compactedForm === 'status') return void answer(response, 410, gone);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (fault?.kind === 'half-open') return;
    if (since < compacted) return void response.end(line('ERROR', gone));
    if (fault?.kind === 'lines') {
      response.write(fault.text, () => {
        if (fault.end === 'reset') response.destroy();
        else if (fault.end === 'orderly') response.end();
      });
      if (fault.end) return;
    }
    for (const event of writes) {
      const mine = event.collection === url.pathname && selects(url, event.object);
      if (event.version > since && mine) response.write(line(event.type, event.object));
    }
    const entry = { url, response };
    watching.add(entry);
    const timer = setTimeout(
      () => {
        response.end(line('BOOKMARK', { metadata: { resourceVersion: String(version) } }));
      },
      Number(url.searchParams.get('timeoutSeconds')) * 1_000,
    );
    response.on('close', () => {
      clearTimeout(timer);
      watching.delete(entry);
    });
  }

  /** Server-side apply for the keys of `data`. */
  function apply(path: string, url: URL, body: Fields, response: ServerResponse, fault: Fault | undefined): void {
    const before = objects.get(path);
    const asked = (body.metadata as Fields).resourceVersion;
    if (asked !== undefined && asked !== before?.metadata.resourceVersion) {
      return void answer(response, 409, status(409, 'Conflict', 'the object has been modified'));
    }
    const manager = url.searchParams.get('fieldManager') ?? '';
    const owned = owners.get(path) ?? new Map<string, string>();
    const wanted = (body.data ?? {}) as Record<string, string>;
    const data = { ...before?.data };
    const taken = Object.keys(wanted).filter(
      (key) => (owned.get(key) ?? manager) !== manager && data[key] !== wanted[key],
    );
    if (taken.length > 0 && url.searchParams.get('force') !== 'true') {
      return void answer(response, 409, status(409, 'Conflict', `owned by another: ${taken}`));
    }
    for (const [key, owner] of owned) if (owner === manager && !(key in wanted)) delete data[key];
    for (const key of Object.keys(wanted)) owned.set(key, manager);
    owners.set(path, owned);
    const next = { ...before, ...body, data: { ...data, ...wanted } };
    const same = before && JSON.stringify(before.data) === JSON.stringify(next.data);
    answer(response, 200, same ? before : save(path, next), fault);
  }

  function serve({ method, url, body, contentType }: Seen, response: ServerResponse, fault: Fault | undefined): void {
    const path = url.pathname;
    const before = objects.get(path);
    if (method === 'GET' && url.searchParams.get('watch') === 'true') return void watch(url, response, fault);
    if (method === 'GET' && /\/(configmaps|leases|events|pods)$/.test(path)) return void list(url, response, fault);
    if (method === 'POST') {
      const metadata = body.metadata as Fields;
      const name = (metadata.name ?? `${metadata.generateName}${version}`) as string;
      if (String(metadata.generateName ?? '').endsWith('.')) return void answer(response, 422, status(422, 'Invalid'));
      if (objects.has(`${path}/${name}`)) return void answer(response, 409, status(409, 'AlreadyExists'));
      return void answer(response, 201, save(`${path}/${name}`, { ...body, metadata: { ...metadata, name } }), fault);
    }
    if (contentType === 'application/apply-patch+yaml') return void apply(path, url, body, response, fault);
    if (!before) return void answer(response, 404, status(404, 'NotFound'));
    if (method === 'GET') return void answer(response, 200, before, fault);
    if (method === 'PUT') {
      const asked = (body.metadata as Fields).resourceVersion;
      if (asked !== before.metadata.resourceVersion) return void answer(response, 409, status(409, 'Conflict'));
      return void answer(response, 200, save(path, body), fault);
    }
    if (method === 'PATCH') return void answer(response, 200, save(path, { ...before, ...body }), fault);
    answer(response, 200, write('DELETED', path, before), fault);
  }

  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    const seen: Seen = {
      method: request.method ?? '',
      url: new URL(request.url ?? '', 'http://fake'),
      body: text ? (JSON.parse(text) as Fields) : {},
      contentType: request.headers['content-type'] ?? '',
      who: request.headers.authorization ?? '',
    };
    fake.requests.push(seen);
    const fault = fake.fault(seen);
    if (fault?.kind === 'reset') return void request.socket.resetAndDestroy();
    if (fault?.kind === 'half-open' && !seen.url.searchParams.has('watch')) return;
    if (fault?.kind === 'answer') {
      return void answer(response, fault.status, status(fault.status, fault.reason ?? ''), undefined, fault.headers);
    }
    if (fault?.kind === 'stall') return void setTimeout(() => serve(seen, response, undefined), fault.ms).unref();
    serve(seen, response, fault);
  }

  const server = createServer((request, response) => {
    receive(request, response).catch(() => response.destroy());
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const fake: FakeKube = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fault: () => undefined,
    requests: [],
    sockets: () => sockets.size,
    watches: () => watching.size,
    put: save,
    remove: (path) => void write('DELETED', path, objects.get(path) ?? { metadata: {} }),
    get: (path) => objects.get(path),
    compact(form) {
      version += 1;
      compacted = version;
      compactedForm = form;
      writes = [];
    },
    bookmark() {
      for (const { response } of watching) {
        response.write(line('BOOKMARK', { metadata: { resourceVersion: String(version) } }));
      }
    },
    cut() {
      for (const { response } of watching) response.destroy();
    },
    version: () => version,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
  return fake;
}
