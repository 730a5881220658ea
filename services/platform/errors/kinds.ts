/** What an error means to the one who reads it; closed, so that every kind has a status, a retry rule and a log level. */
export type ErrorKind =
  | 'invalid'
  | 'unauthenticated'
  | 'payment_required'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'not_acceptable'
  | 'conflict'
  | 'gone'
  | 'too_large'
  | 'unsupported_media'
  | 'unprocessable'
  | 'headers_too_large'
  | 'rate_limited'
  | 'client_closed'
  | 'internal'
  | 'bad_gateway'
  | 'unavailable'
  | 'timeout';

export type KindRule = {
  /** HTTP status. */
  status: number;
  /** Whether the same call, unchanged, may succeed later. */
  retryable: boolean;
  /** `error` means that somebody should look; a client's mistake is `info`. */
  logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** RFC 9457 `title`. */
  title: string;
};

export const KINDS = {
  invalid: { status: 400, retryable: false, logLevel: 'info', title: 'Invalid request' },
  unauthenticated: { status: 401, retryable: false, logLevel: 'info', title: 'Authentication needed' },
  payment_required: { status: 402, retryable: false, logLevel: 'info', title: 'Payment required' },
  forbidden: { status: 403, retryable: false, logLevel: 'info', title: 'Not allowed' },
  not_found: { status: 404, retryable: false, logLevel: 'info', title: 'Not found' },
  method_not_allowed: { status: 405, retryable: false, logLevel: 'info', title: 'Method not allowed' },
  not_acceptable: { status: 406, retryable: false, logLevel: 'info', title: 'Not acceptable' },
  conflict: { status: 409, retryable: false, logLevel: 'info', title: 'Conflict' },
  gone: { status: 410, retryable: false, logLevel: 'info', title: 'Gone' },
  too_large: { status: 413, retryable: false, logLevel: 'info', title: 'Request too large' },
  unsupported_media: { status: 415, retryable: false, logLevel: 'info', title: 'Unsupported media type' },
  unprocessable: { status: 422, retryable: false, logLevel: 'info', title: 'Cannot be processed' },
  headers_too_large: { status: 431, retryable: false, logLevel: 'info', title: 'Headers too large' },
  rate_limited: { status: 429, retryable: true, logLevel: 'info', title: 'Too many requests' },
  // nginx's number for "the client went away": no answer is read, but the log and the metric need one.
  client_closed: { status: 499, retryable: true, logLevel: 'debug', title: 'Client closed the request' },
  internal: { status: 500, retryable: true, logLevel: 'error', title: 'Internal error' },
  bad_gateway: { status: 502, retryable: true, logLevel: 'warn', title: 'Provider failed' },
  unavailable: { status: 503, retryable: true, logLevel: 'warn', title: 'Unavailable' },
  timeout: { status: 504, retryable: true, logLevel: 'warn', title: 'Timeout' },
} as const satisfies Record<ErrorKind, KindRule>;
