import assert from 'node:assert/strict';
import { request } from 'node:http';
import type { ApiClient, CallOptions } from '../support/client.ts';
import type { Conformance, OperationAt } from './conformance.ts';

interface Refusing {
  at: OperationAt;
  conformance: Conformance;
  url: string;
  anybody: ApiClient;
  /** Who may call this operation. */
  caller: ApiClient;
  person: ApiClient;
  /** An API key. */
  key: string;
}

/** Every refusal that comes before an operation's own handler, each compared with the document by the clients' watch. */
export async function refuse({ at, conformance, url, anybody, caller, person, key }: Refusing): Promise<void> {
  const { method, operation } = at;
  const { kind } = operation['x-klar-access'];
  const path = at.path.replace(/\{[^}]+\}/g, 'nothing');
  const hasBody = operation.requestBody !== undefined;
  const answer = (status: number, who: ApiClient, more: CallOptions = {}, query = '') =>
    who.expect(status, method, `${path}${query}`, more);

  await answer(400, caller, hasBody ? { body: {} } : {}, '?no_such_parameter=1');
  if (kind !== 'public') {
    await answer(401, anybody);
    await answer(401, anybody.with({ token: 'made.up.token' }));
  }
  // An origin that is not ours: a platform route does not exist for it, any other says so.
  const foreign = { headers: { origin: 'https://evil.example' } };
  await answer(kind === 'platform' ? 404 : 403, caller, foreign);
  if (kind === 'platform') await answer(404, person);
  if (kind === 'person') await answer(403, anybody.with({ token: key }));
  if (kind === 'tenant' && !hasBody) await answer(404, caller.with({ tenant: 'no-such-school' }));
  if (kind === 'tenant') await answer(400, person);
  if (!hasBody) return;
  await answer(400, caller, { body: { no_such_field: 1 } });
  await answer(400, caller, { body: [] });
  await answer(415, caller, { body: {}, headers: { 'content-type': 'text/plain' } });
  assert.equal(await tooLarge(), 413);

  /** Announces more than is taken; the answer comes before a byte of it was sent. */
  function tooLarge(): Promise<number> {
    const headers = { ...caller.headers(), 'content-type': 'application/json', 'content-length': String(2 ** 22) };
    return new Promise((resolve, reject) => {
      const sent = request(`${url}${path}`, { method, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => {
          sent.destroy();
          const status = response.statusCode ?? 0;
          try {
            const given = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
            conformance.watch({ method, path }, { status, headers: new Headers(given as [string, string][]), text });
            resolve(status);
          } catch (error) {
            reject(error);
          }
        });
      });
      sent.on('error', reject);
      sent.flushHeaders();
    });
  }
}
