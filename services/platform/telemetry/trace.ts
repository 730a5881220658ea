import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Attributes, Span, SpanKind } from '@opentelemetry/api';

/** What OpenTelemetry gives when it is switched on; without it every function here costs one comparison. */
export type Tracing = {
  run<T>(name: string, kind: SpanKind, attributes: Attributes, carrier: object | undefined, fn: (span: Span) => T): T;
  record(name: string, kind: SpanKind, attributes: Attributes, seconds: number): void;
};

const INTERNAL = 0 satisfies SpanKind.INTERNAL;
const SERVER = 1 satisfies SpanKind.SERVER;
const CLIENT = 2 satisfies SpanKind.CLIENT;
const ERROR_STATUS = 2;

let tracing: Tracing | undefined;

export function setTracing(next: Tracing | undefined): void {
  tracing = next;
}

/** Runs `fn` as a span; spans started under it are its children. The span ends when the result settles. */
export function withSpan<T>(name: string, attributes: Attributes, fn: () => T): T {
  if (tracing === undefined) return fn();
  return tracing.run(name, INTERNAL, attributes, undefined, (span) => {
    let result: T;
    try {
      result = fn();
    } catch (error) {
      end(span, error);
      throw error;
    }
    if (result instanceof Promise) {
      result.then(
        () => span.end(),
        (error) => end(span, error),
      );
    } else {
      span.end();
    }
    return result;
  });
}

/** The span of one request, continued from the caller's `traceparent`; ends when the answer is sent or given up. */
export function withServerSpan(request: IncomingMessage, response: ServerResponse, fn: () => void): void {
  if (tracing === undefined) {
    fn();
    return;
  }
  // The path is not an attribute: an invitation's token stands in one. The route is added by whoever knows it.
  const attributes = { 'http.request.method': request.method ?? 'GET' };
  tracing.run(`HTTP ${request.method}`, SERVER, attributes, request.headers, (span) => {
    response.once('close', () => {
      span.setAttribute('http.response.status_code', response.statusCode);
      if (response.statusCode >= 500) span.setStatus({ code: ERROR_STATUS });
      span.end();
    });
    fn();
  });
}

/** A span of something that has just ended and was timed by others: a statement, in a flight of several. */
export function recordSpan(name: string, attributes: Attributes, seconds: number): void {
  tracing?.record(name, CLIENT, attributes, seconds);
}

function end(span: Span, error: unknown): void {
  // The message stays out: a driver's may quote a row.
  span.setStatus({ code: ERROR_STATUS });
  span.setAttribute('error.type', error instanceof Error ? error.name : typeof error);
  span.end();
}
