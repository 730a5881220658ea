import { connect } from 'node:net';
import { z } from 'zod';
import { fail } from '#platform/errors/index.ts';
import { listOf, listQuery, type Problem } from '#platform/http/index.ts';
import { route } from '../../../services/api/deps.ts';
import { createWorld, startTestApi, type TestApi, type World } from './fixture.ts';

/** What a driver might say; no client may read it. */
export const SECRET = 'duplicate key value violates unique constraint "people_email"';
/** The signal of the last `test.wait`. */
export const seen = { signal: undefined as AbortSignal | undefined };

const echo = z.object({ text: z.string() });
export const routes = [
  route({
    id: 'test.echo',
    method: 'POST',
    path: '/api/test/echo',
    access: { kind: 'public' },
    rateClass: 'write',
    summary: 'Echo',
    body: echo,
    responses: { 200: echo },
    audit: null,
    auditReason: 'a test',
    handle: async ({ body }) => ({ status: 200, body }),
  }),
  route({
    id: 'test.list',
    method: 'GET',
    path: '/api/test/list',
    access: { kind: 'public' },
    rateClass: 'read',
    summary: 'List',
    query: z.object(listQuery),
    responses: { 200: listOf(z.object({ limit: z.number() })) },
    handle: async ({ query }) => ({ status: 200, body: { data: [{ limit: query.limit }], next_cursor: null } }),
  }),
  route({
    id: 'test.fail',
    method: 'GET',
    path: '/api/test/fail/:how',
    access: { kind: 'public' },
    rateClass: 'read',
    summary: 'Fail',
    params: z.object({ how: z.string() }),
    responses: { 200: echo },
    async handle({ params }) {
      if (params.how === 'driver') throw new Error(SECRET);
      if (params.how === 'away') throw fail.unavailable('database_unavailable', 'Later.', 7);
      // biome-ignore lint/suspicious/noExplicitAny: an answer that is not what was promised
      if (params.how === 'mismatch') return { status: 200, body: { txt: 1 } as any };
      return { status: 200, body: { text: params.how, private_column: 'leak' } as { text: string } };
    },
  }),
  route({
    id: 'test.wait',
    method: 'GET',
    path: '/api/test/wait',
    access: { kind: 'public' },
    rateClass: 'read',
    summary: 'Wait',
    responses: { 204: null },
    timeoutMs: 200,
    async handle({ signal }) {
      seen.signal = signal;
      await new Promise(() => undefined);
      return { status: 204 };
    },
  }),
  route({
    id: 'test.login',
    method: 'POST',
    path: '/api/test/login',
    access: { kind: 'public' },
    rateClass: 'auth',
    summary: 'Log in',
    responses: { 204: null },
    audit: null,
    auditReason: 'a test',
    handle: async () => ({ status: 204 }),
  }),
  route({
    id: 'test.tenant',
    method: 'GET',
    path: '/api/test/tenant',
    access: { kind: 'tenant', permission: 'courses.read' },
    rateClass: 'read',
    summary: 'In a tenant',
    responses: { 200: z.object({ role: z.string(), slug: z.string() }) },
    handle: async ({ role, tenant }) => ({ status: 200, body: { role: role ?? '', slug: tenant.slug } }),
  }),
  route({
    id: 'test.admin',
    method: 'POST',
    path: '/api/admin/test',
    access: { kind: 'platform', permission: 'platform.ops.read' },
    rateClass: 'ops',
    summary: 'Administer',
    responses: { 204: null },
    audit: 'test.admin',
    handle: async () => ({ status: 204 }),
  }),
];

export const json = { 'content-type': 'application/json' };

export interface Caller {
  world: World;
  api: TestApi;
  call(
    path: string,
    init?: RequestInit & { at?: TestApi },
  ): Promise<{ status: number; headers: Headers; text: string; json: Problem & { data?: { limit: number }[] } }>;
  /** Sends bytes as they are: fetch would not let us. */
  raw(text: string): Promise<string>;
  close(): Promise<void>;
}

/** The routes above in the real app, on a database of its own. */
export async function startMiniApp(options: Parameters<typeof startTestApi>[2] = {}): Promise<Caller> {
  const world = await createWorld();
  const api = await startTestApi(world, routes, options);
  return {
    world,
    api,
    async call(path, init = {}) {
      const response = await fetch(`${(init.at ?? api).url}${path}`, init);
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        text,
        json: text.startsWith('{') ? JSON.parse(text) : {},
      };
    },
    raw(text) {
      return new Promise((resolve, reject) => {
        const { port, hostname } = new URL(api.url);
        const socket = connect(Number(port), hostname, () => socket.end(text));
        let answer = '';
        socket.on('error', reject).on('close', () => resolve(answer));
        socket.on('data', (chunk) => {
          answer += chunk;
        });
      });
    },
    async close() {
      await api.close();
      await world.database.close();
    },
  };
}
