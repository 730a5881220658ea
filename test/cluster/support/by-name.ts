import { request } from 'node:http';
import type { Transport } from '../../support/client.ts';

/** Calls a server by a name that no resolver knows, as the ingress's Host header: `fetch` sends only the URL's own. */
export const byName =
  (name: string): Transport =>
  (url, { method, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const outgoing = request(
        url,
        {
          ...(method ? { method } : {}),
          headers: { ...(headers as Record<string, string>), host: name },
          ...(signal ? { signal } : {}),
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming
            .on('data', (chunk: Buffer) => chunks.push(chunk))
            .on('error', reject)
            .on('end', () => {
              const status = incoming.statusCode ?? 0;
              const answered = new Headers();
              for (const [key, value] of Object.entries(incoming.headersDistinct))
                for (const one of value ?? []) answered.append(key, one);
              resolve(new Response(status === 204 ? null : Buffer.concat(chunks), { status, headers: answered }));
            });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body as string | undefined);
    });
