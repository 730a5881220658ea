import { type ErrorKind, KINDS, type KindRule } from './kinds.ts';

export { type ErrorKind, KINDS, type KindRule } from './kinds.ts';

export type FieldError = { path: string; message: string };

/** What a problem may carry beside code and detail; all of it reaches the client. */
export type ErrorExtra = {
  errors?: FieldError[] | undefined;
  /** Whole seconds, sent as `Retry-After`. */
  retryAfterS?: number | undefined;
  /** Further members of the problem document, snake_case, safe for clients. */
  members?: Record<string, unknown> | undefined;
  /** Response headers, e.g. `WWW-Authenticate`. */
  headers?: Record<string, string> | undefined;
};

/**
 * The one error class. `code` is stable snake_case for programs, `detail` is safe for a client to read;
 * what a driver or a provider said belongs in `cause`, which is logged and never sent.
 */
export class KlarError extends Error {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly detail: string;
  readonly extra: ErrorExtra;
  constructor(kind: ErrorKind, code: string, detail: string, extra: ErrorExtra & { cause?: unknown } = {}) {
    const { cause, ...rest } = extra;
    super(`${code}: ${detail}`, cause === undefined ? undefined : { cause });
    this.name = 'KlarError';
    this.kind = kind;
    this.code = code;
    this.detail = detail;
    this.extra = rest;
  }
  get rule(): KindRule {
    return KINDS[this.kind];
  }
  get status(): number {
    return KINDS[this.kind].status;
  }
  get retryable(): boolean {
    return KINDS[this.kind].retryable;
  }
}

type More = ErrorExtra & { cause?: unknown };

/** Makes errors; the caller throws them: `throw fail.conflict('slug_taken', 'This slug is taken.')`. */
export const fail = {
  invalid: (code: string, detail: string, errors?: FieldError[], more?: More) =>
    new KlarError('invalid', code, detail, { ...more, ...(errors ? { errors } : {}) }),
  unauthenticated: (code = 'unauthenticated', detail = 'Log in or send a valid API key.', more?: More) =>
    new KlarError('unauthenticated', code, detail, more),
  paymentRequired: (code: string, detail: string, more?: More) => new KlarError('payment_required', code, detail, more),
  forbidden: (code = 'forbidden', detail = 'You are not allowed to do this.', more?: More) =>
    new KlarError('forbidden', code, detail, more),
  /** Unknown, deleted and another tenant's: the same bytes, so that an answer never says that something exists. */
  notFound: (code = 'not_found', detail = 'There is nothing here.', more?: More) =>
    new KlarError('not_found', code, detail, more),
  methodNotAllowed: (allow: string[]) =>
    new KlarError('method_not_allowed', 'method_not_allowed', 'This path does not answer to that method.', {
      headers: { Allow: allow.join(', ') },
    }),
  notAcceptable: (code: string, detail: string, more?: More) => new KlarError('not_acceptable', code, detail, more),
  conflict: (code: string, detail: string, more?: More) => new KlarError('conflict', code, detail, more),
  gone: (code: string, detail: string, more?: More) => new KlarError('gone', code, detail, more),
  tooLarge: (code = 'too_large', detail = 'The request body is too large.', more?: More) =>
    new KlarError('too_large', code, detail, more),
  unsupportedMedia: (code = 'unsupported_media', detail = 'Send application/json.', more?: More) =>
    new KlarError('unsupported_media', code, detail, more),
  unprocessable: (code: string, detail: string, errors?: FieldError[], more?: More) =>
    new KlarError('unprocessable', code, detail, { ...more, ...(errors ? { errors } : {}) }),
  headersTooLarge: (detail = 'The request headers are too large.') =>
    new KlarError('headers_too_large', 'headers_too_large', detail),
  rateLimited: (retryAfterS: number, code = 'rate_limited', detail = 'Too many requests; slow down.') =>
    new KlarError('rate_limited', code, detail, { retryAfterS }),
  clientClosed: (cause?: unknown) =>
    new KlarError('client_closed', 'client_closed', 'The client went away.', { cause }),
  internal: (code = 'internal', detail = 'Something went wrong on our side.', more?: More) =>
    new KlarError('internal', code, detail, more),
  badGateway: (code: string, detail: string, more?: More) => new KlarError('bad_gateway', code, detail, more),
  unavailable: (code: string, detail: string, retryAfterS = 1, more?: More) =>
    new KlarError('unavailable', code, detail, { ...more, retryAfterS }),
  timeout: (code: string, detail: string, more?: More) => new KlarError('timeout', code, detail, more),
};

/** Any thrown value as a KlarError: an unknown one is `internal`, and says nothing of itself to a client. */
export function toKlarError(thrown: unknown): KlarError {
  return thrown instanceof KlarError ? thrown : fail.internal(undefined, undefined, { cause: thrown });
}
