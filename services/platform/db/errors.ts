import { fail, type KlarError } from '#platform/errors/index.ts';

interface Coded {
  code?: unknown;
  constraint?: unknown;
  severity?: unknown;
  message?: unknown;
}

const coded = (error: unknown): Coded => (typeof error === 'object' && error !== null ? (error as Coded) : {});

/** The SQLSTATE of a server error, or undefined for everything that did not come from the server. */
export function sqlState(error: unknown): string | undefined {
  const { code, severity } = coded(error);
  return typeof code === 'string' && typeof severity === 'string' ? code : undefined;
}

/** Whether a unique constraint (that one, when named) refused the row. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return sqlState(error) === '23505' && (constraint === undefined || coded(error).constraint === constraint);
}

/** Whether a foreign key (that one, when named) refused the row. */
export function isForeignKeyViolation(error: unknown, constraint?: string): boolean {
  return sqlState(error) === '23503' && (constraint === undefined || coded(error).constraint === constraint);
}

/** Whether a check constraint (that one, when named) refused the row. */
export function isCheckViolation(error: unknown, constraint?: string): boolean {
  return sqlState(error) === '23514' && (constraint === undefined || coded(error).constraint === constraint);
}

/** Deadlock or serialization failure: the server rolled back, the whole transaction may run again. */
export function isContention(error: unknown): boolean {
  const state = sqlState(error);
  return state === '40001' || state === '40P01';
}

/**
 * The connection's prepared statement is gone (a pooler in between) or its plan no longer fits the table (a migration).
 * Nothing was done; another connection can.
 */
export function isStalePlan(error: unknown): boolean {
  const state = sqlState(error);
  return state === '26000' || (state === '0A000' && String(coded(error).message).startsWith('cached plan must not'));
}

const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ENOENT',
  'ECONNABORTED',
]);
const CONNECTION_MESSAGES =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|Query read timeout|timeout expired|The server does not support SSL)/;

/** The connection is gone or was never made: nothing is known about what it was doing. */
export function isConnectionLoss(error: unknown): boolean {
  const state = sqlState(error);
  // 57P01-57P05: shutdown, crash, starting up, database dropped, idle session timeout. 25P03: idle in transaction.
  if (state !== undefined) return state.startsWith('08') || /^57P0[1-5]$/.test(state) || state === '25P03';
  const { code, message } = coded(error);
  return (
    (typeof code === 'string' && NETWORK.has(code)) ||
    (typeof message === 'string' && CONNECTION_MESSAGES.test(message))
  );
}

/** No answer came in time: the other side is gone without a word, or its network is. */
export function isSilence(error: unknown): boolean {
  const { message } = coded(error);
  // The name of the statement may stand behind it.
  return typeof message === 'string' && message.startsWith('Query read timeout');
}

const away = () => fail.unavailable('database_unavailable', 'The database does not answer; try again shortly.', 2);

/** What a caller sees when no connection could be had. */
export function acquireError(error: unknown): unknown {
  const state = sqlState(error);
  const message = String(coded(error).message ?? '');
  if (state === '53300' || message.startsWith('timeout exceeded when trying to connect')) {
    return caused(
      fail.unavailable('database_busy', 'All database connections are in use; try again shortly.', 1),
      error,
    );
  }
  return state === undefined || isConnectionLoss(error) || state.startsWith('28') ? caused(away(), error) : error;
}

/** What a caller sees when a transaction failed for good. Errors with a meaning for the caller pass unchanged. */
export function transactionError(error: unknown): unknown {
  if (isContention(error)) {
    return caused(fail.unavailable('database_contention', 'Too many concurrent changes; try again.', 1), error);
  }
  if (isConnectionLoss(error)) return caused(away(), error);
  const state = sqlState(error);
  if (state === '55P03')
    return caused(fail.unavailable('database_locked', 'The record is being changed; try again.', 1), error);
  if (state === '57014')
    return caused(fail.unavailable('database_timeout', 'The database took too long; try again.', 1), error);
  return error;
}

/** The connection broke after COMMIT was sent: it may or may not have happened, so nothing here repeats it. */
export function commitUnknown(cause: unknown): KlarError {
  return caused(
    fail.unavailable('commit_unknown', 'It is not known whether the change was made; check before repeating.', 1),
    cause,
  );
}

function caused<E extends KlarError>(error: E, cause: unknown): E {
  if (error.cause === undefined)
    Object.defineProperty(error, 'cause', { value: cause, enumerable: false, configurable: true });
  return error;
}

/**
 * Writes into a server's error which statement it was and where it was called: the driver's own words say neither.
 * @param called made where the statement was sent
 */
export function nameStatement(error: unknown, { name }: { name: string }, called: Error): void {
  if (!(error instanceof Error) || 'statement' in error) return;
  const message = `${error.message} [${name}]`;
  const frames = called.stack?.replace(/^.*\n/, '') ?? '';
  // "Failing row contains (...)" and "Key (email)=(...)" would carry a person's data into the log.
  if (sqlState(error)?.startsWith('23')) Object.assign(error, { detail: undefined });
  Object.assign(error, { message, stack: `${error.name}: ${message}\n${frames}`, statement: name });
}
