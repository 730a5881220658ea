import { fail, type KlarError } from '#platform/errors/index.ts';

interface S3Error {
  name?: string;
  message?: string;
  code?: string;
  $metadata?: { httpStatusCode?: number; attempts?: number };
}

const REFUSED =
  /AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|CredentialsProviderError|TokenRefresh/;
const NETWORK =
  /^(ECONN|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EPIPE|EHOSTUNREACH|ENETUNREACH|ERR_STREAM_PREMATURE|TimeoutError|AbortError)/;

export const statusOf = (error: unknown) => (error as S3Error | undefined)?.$metadata?.httpStatusCode;

/** Whether the store says that the object is not there. */
export function isMissing(error: unknown): boolean {
  return (error as S3Error).name === 'NoSuchKey' || (error as S3Error).name === 'NotFound' || statusOf(error) === 404;
}

/** What an error of the client means for who keeps the store; a KlarError passes unchanged. */
export function s3Error(error: unknown, url: string): KlarError {
  if ((error as { kind?: unknown } | null)?.kind !== undefined) return error as KlarError;
  const { name = '', code = '', message = '', $metadata } = error as S3Error;
  const status = $metadata?.httpStatusCode;
  const cause = { cause: error };
  const tries = ($metadata?.attempts ?? 1) > 1 ? ` after ${$metadata?.attempts} tries` : '';
  if (name === 'NoSuchBucket') {
    return fail.unavailable('backup_store_unreachable', `${url}: there is no such bucket.`, 60, cause);
  }
  if (status === 401 || status === 403 || REFUSED.test(name)) {
    return fail.forbidden('backup_store_refused', `${url} refuses this identity (${name || status}).`, cause);
  }
  if (status === 507 || /QuotaExceeded|EntityTooLarge|NoSpace|XMinioStorageFull/.test(name)) {
    return fail.unavailable('backup_store_full', `${url} is full (${name || status}).`, 60, cause);
  }
  if (NETWORK.test(code) || NETWORK.test(name) || /socket hang up|timed out|timeout/i.test(message)) {
    return fail.unavailable(
      'backup_store_unreachable',
      `${url} does not answer${tries}: ${message || code}`,
      60,
      cause,
    );
  }
  return fail.unavailable(
    'backup_store_failed',
    `${url} failed${tries}: ${name} ${status ?? ''} ${message}`,
    60,
    cause,
  );
}
