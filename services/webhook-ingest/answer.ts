import type { ServerResponse } from 'node:http';
import { type ErrorKind, KINDS } from '#platform/errors/index.ts';
import { newId } from '#platform/ids/index.ts';

/** Text and not bytes: Node then sends head and body in one write. */
const RECEIVED = '{"received":true}';
const RECEIVED_HEADERS = { 'Content-Type': 'application/json', 'Content-Length': RECEIVED.length };

/** 200: the event is committed. */
export function acknowledge(response: ServerResponse): void {
  if (response.destroyed) return;
  response.writeHead(200, RECEIVED_HEADERS);
  response.end(RECEIVED);
}

/** An RFC 9457 problem, as the api's. `detail` says nothing that helps to forge a request. */
export function problem(
  response: ServerResponse,
  kind: ErrorKind,
  code: string,
  detail: string,
  headers: Record<string, string> = {},
): void {
  if (response.destroyed) return;
  const { status, title } = KINDS[kind];
  const request_id = newId('req');
  const body = Buffer.from(
    JSON.stringify({ type: `urn:klar:problem:${code}`, title, status, detail, code, request_id }),
  );
  response.writeHead(status, {
    'Content-Type': 'application/problem+json',
    'Content-Length': body.length,
    'X-Request-Id': request_id,
    ...headers,
  });
  response.end(body);
}
