import type { AddressInfo } from 'node:net';
import type { Settings } from '#platform/config/index.ts';
import { createServer } from '#platform/http/node-http.ts';
import type { Readiness } from '#platform/lifecycle/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';

export type AdminInput = {
  /** 0 for any free port. */
  port: number;
  host?: string | undefined;
  metrics: Metrics;
  readiness: () => Promise<Readiness>;
  /** Image digest, commit, flag set and secret generations that are live here; never a secret's value. */
  version: () => object | Promise<object>;
  log: Logger;
};

/**
 * The admin port, never on the ingress: `/livez` only says that the event loop turns and never touches the database
 * (a database that is away must not get every pod restarted), `/readyz`, `/metrics` (Prometheus), `/versionz`.
 */
export async function startAdminServer(input: AdminInput): Promise<{ port: number; close(): Promise<void> }> {
  const routes: Record<string, () => Promise<{ status: number; type: string; body: string }>> = {
    '/livez': async () => ({ status: 200, type: 'text/plain; charset=utf-8', body: 'ok\n' }),
    '/readyz': async () => {
      const readiness = await input.readiness();
      return json(readiness.routed ? 200 : 503, readiness);
    },
    '/metrics': async () => ({
      status: 200,
      type: input.metrics.registry.contentType,
      body: await input.metrics.registry.metrics(),
    }),
    '/versionz': async () => json(200, await input.version()),
  };
  const server = createServer(async (request, response) => {
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    let answer: { status: number; type: string; body: string };
    try {
      if (!route) answer = json(404, { code: 'not_found', paths: Object.keys(routes) });
      else if (request.method !== 'GET' && request.method !== 'HEAD')
        answer = json(405, { code: 'method_not_allowed' });
      else answer = await route();
    } catch (error) {
      input.log.error('admin route failed', { path, error });
      answer = json(500, { code: 'internal' });
    }
    response.writeHead(answer.status, { 'content-type': answer.type, 'cache-control': 'no-store' });
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(input.port, input.host, () => resolve());
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function json(status: number, body: unknown): { status: number; type: string; body: string } {
  return { status, type: 'application/json; charset=utf-8', body: `${JSON.stringify(body)}\n` };
}

/**
 * What `/versionz` says of a process: image, commit, and of each secret it holds the generation in use, those that it
 * accepts and for how many seconds each was not used here; never a value.
 */
export const versionOf = (settings: Settings): object => ({
  image: settings.KLAR_IMAGE_DIGEST ?? null,
  commit: settings.KLAR_COMMIT ?? null,
  secrets: Object.fromEntries(settings.meta.secrets.map((secret) => [secret.name, secret.generation()])),
  accepted: Object.fromEntries(settings.meta.secrets.map((secret) => [secret.name, secret.uses()])),
});
