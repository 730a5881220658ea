import type { IncomingMessage, ServerResponse } from 'node:http';
import { fail } from '#platform/errors/index.ts';

/** The time one request has: over when the client leaves or the limit is reached. */
export interface Lifetime {
  readonly signal: AbortSignal;
  /** Rejects when the time is over, so that an answer does not wait for work that ignores the signal. */
  readonly over: Promise<never>;
  end(): void;
}

/** Default limit of a request in ms; the idempotency lease is longer than it. */
export const REQUEST_TIMEOUT_MS = 30_000;

export function startLifetime(req: IncomingMessage, res: ServerResponse, ms: number): Lifetime {
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(fail.unavailable('request_timeout', 'The request took too long and was given up.', 5)),
    ms,
  );
  timer.unref();
  const onClose = () => {
    if (!res.writableFinished) controller.abort(fail.clientClosed());
  };
  res.once('close', onClose);
  // With the socket gone already no event comes any more.
  if (req.socket.destroyed) onClose();
  const over = new Promise<never>((_, reject) => {
    controller.signal.addEventListener('abort', () => reject(controller.signal.reason), { once: true });
  });
  over.catch(() => undefined);
  return {
    signal: controller.signal,
    over,
    end() {
      clearTimeout(timer);
      res.off('close', onClose);
    },
  };
}
