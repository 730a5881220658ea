/** The `Status` object with which an API server refuses. */
export type KubeStatus = {
  code?: number;
  reason?: string;
  message?: string;
  details?: { retryAfterSeconds?: number; causes?: { reason?: string }[] };
};

/** Longer than any API server asks for; a wrong header must not stop a controller for a day. */
const RETRY_AFTER_MAX_MS = 60_000;

/** A refusal of the API server: by HTTP status, or as an ERROR event within a watch. */
export class KubeError extends Error {
  readonly status: number;
  readonly reason: string;
  /** How long the server wants to be left alone. */
  readonly retryAfterMs: number | undefined;
  constructor(status: number, body: KubeStatus | undefined, retryAfterHeader?: string) {
    super(`${status} ${body?.reason ?? ''} ${body?.message ?? ''}`.replaceAll(/\s+/g, ' ').trim());
    this.name = 'KubeError';
    this.status = status;
    this.reason = body?.details?.causes?.some((cause) => cause.reason === 'ResourceVersionTooLarge')
      ? 'ResourceVersionTooLarge'
      : (body?.reason ?? '');
    const seconds = Number(retryAfterHeader ?? body?.details?.retryAfterSeconds);
    this.retryAfterMs = seconds > 0 ? Math.min(seconds * 1_000, RETRY_AFTER_MAX_MS) : undefined;
  }
}

const has = (error: unknown, ...statuses: number[]) => error instanceof KubeError && statuses.includes(error.status);

export const isNotFound = (error: unknown): boolean => has(error, 404);
/** Somebody wrote in between (resourceVersion), created it first, or owns the field. */
export const isConflict = (error: unknown): boolean => has(error, 409);
/** The version to go on from is gone (410), or is one that this server never had: after a restore of etcd. */
export const isExpired = (error: unknown): boolean =>
  has(error, 410) || (error instanceof KubeError && error.reason === 'ResourceVersionTooLarge');

export const retryAfterMs = (error: unknown): number => (error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0);
