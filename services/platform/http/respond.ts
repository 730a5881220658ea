import type { ServerResponse } from 'node:http';
import { KINDS, toKlarError } from '#platform/errors/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { WireAnswer } from './idempotency.ts';
import { toFailure } from './problem.ts';

/** What is known about a request while it runs; the access log and the metrics read it at the end. */
export interface RequestRecord {
  requestId: string;
  startedAt: number;
  /** Operation id; `unmatched` until a route is found. */
  route: string;
  principal?: string;
  tenantId?: string;
  /** Problem code of a refusal. */
  code?: string;
  /** Status for log and metric where no answer could be sent. */
  status?: number;
}

const records = new WeakMap<ServerResponse, RequestRecord>();

/** Begins the record; the first thing that happens to a request. */
export function beginRecord(res: ServerResponse, record: RequestRecord): void {
  records.set(res, record);
}

export function recordOf(res: ServerResponse): RequestRecord {
  const record = records.get(res);
  if (record === undefined) throw new Error('the request has no record: app.ts begins it before everything else');
  return record;
}

/** Sends a success, or an answer stored earlier. */
export function sendAnswer(res: ServerResponse, answer: WireAnswer): void {
  if (res.headersSent || res.destroyed) return;
  res.statusCode = answer.status;
  for (const [name, value] of Object.entries(answer.headers)) res.setHeader(name, value);
  if (answer.body === null) {
    res.end();
    return;
  }
  if (!res.hasHeader('Content-Type')) {
    res.setHeader(
      'Content-Type',
      answer.status >= 400 ? 'application/problem+json' : 'application/json; charset=utf-8',
    );
  }
  res.setHeader('Content-Length', Buffer.byteLength(answer.body));
  res.end(answer.body);
}

/** Sends what was thrown as a problem; the whole cause goes to the log and nowhere else. */
export function sendError(log: Logger, res: ServerResponse, thrown: unknown): void {
  const record = recordOf(res);
  const error = toKlarError(thrown);
  const { status, logLevel } = KINDS[error.kind];
  record.code = error.code;
  record.status = status;
  // Expected refusals are one line, the access log's.
  if (logLevel === 'error' || logLevel === 'warn') {
    log.log(logLevel, 'request failed', {
      code: error.code,
      error: error.cause ?? error,
      request_id: record.requestId,
    });
  }
  const { problem, headers } = toFailure(error, record.requestId);
  // An unread body would be parsed as the next request: end the connection instead of reading it.
  if (error.kind === 'too_large' || error.kind === 'unsupported_media') res.setHeader('Connection', 'close');
  sendAnswer(res, { status, headers, body: JSON.stringify(problem) });
}
