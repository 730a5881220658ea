import { Agent, type IncomingMessage, request } from 'node:http';

/** One request of a load. */
export type LoadRequest = {
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: string;
  /** Sent again until it is answered below 500, as a client with an Idempotency-Key and a webhook's sender do. */
  persistent?: boolean;
  /** Longest pause between two tries, default `REPEAT_AT_MOST_MS`. */
  repeatAtMostMs?: number;
  /** Told of the answer that ended the request, not of those before a repetition. */
  answered?: (status: number, body: string) => void;
};

/** Where the load goes. */
export type LoadTarget = {
  port: number;
  host?: string;
  /** Host header, where an ingress tells its backends apart by it. */
  name?: string;
};

/** One request as it was answered; status 0: not at all. */
export type Sample = { at: number; ms: number; status: number; failed: boolean };

/** What a load did. Times are milliseconds since its start. */
export type LoadReport = {
  sent: number;
  statuses: Record<number, number>;
  /** Requests without an answer, and answers that no client should see, with when and what. */
  errors: string[];
  /** Our own 503 with Retry-After: nothing was lost, the client is asked to come again. */
  refused: number;
  /** Repetitions of persistent requests, beyond `sent`. */
  repeated: number;
  /** Persistent requests that were given up because the load was stopped. */
  abandoned: number;
  slowestMs: number;
  refusals: Record<string, number>;
  samples: Sample[];
};

/** No answer within this time is a failure. */
const PATIENCE_MS = 10_000;
/** Far more than are ever needed at once: a request that waited for one of the load's own would be blamed on the server. */
const MOST_SOCKETS = 2_000;
/** What a client waits before it repeats: less than the Retry-After of 1 s, so that the first good moment is seen. */
const REPEAT_MS = 500;
/** Doubled up to this, with jitter, as clients and providers do: in an outage of a minute all that waits would else come
 * again twice a second, a multiple of the load itself. */
const REPEAT_AT_MOST_MS = 8_000;

/** Whether an answer is ours to give: below 500, or the 503 that says when to come again. */
function refusal(response: IncomingMessage, body: string): boolean {
  return (
    response.statusCode === 503 &&
    response.headers['retry-after'] !== undefined &&
    (response.headers['content-type'] ?? '').startsWith('application/problem+json') &&
    /"code":"[a-z_]+"/.test(body)
  );
}

/**
 * Sends `perSecond` requests a second over kept-alive connections, whether or not earlier ones were answered (open
 * loop), until `stop` is called; then waits for what is under way.
 */
export function startLoad(target: number | LoadTarget, perSecond: number, next: (n: number) => LoadRequest) {
  const { port, host = '127.0.0.1', name } = typeof target === 'number' ? { port: target } : target;
  const agent = new Agent({ keepAlive: true, maxSockets: MOST_SOCKETS });
  const report: LoadReport = {
    sent: 0,
    statuses: {},
    errors: [],
    refused: 0,
    repeated: 0,
    abandoned: 0,
    slowestMs: 0,
    refusals: {},
    samples: [],
  };
  const pending = new Set<Promise<void>>();
  const startedAt = performance.now();
  const since = () => performance.now() - startedAt;
  let lastWords = Number.POSITIVE_INFINITY;

  /** Sends once; true when the request is at its end. */
  const attempt = (wanted: LoadRequest): Promise<boolean> =>
    new Promise((resolve) => {
      const at = since();
      const ended = (status: number, body: string, failure?: string) => {
        clearTimeout(patience);
        const ms = since() - at;
        report.samples.push({ at, ms, status, failed: failure !== undefined });
        if (failure !== undefined) {
          report.errors.push(
            `${(at / 1000).toFixed(1)} s +${ms.toFixed(0)} ms ${wanted.method} ${wanted.path}: ${failure}`,
          );
          return resolve(false);
        }
        report.statuses[status] = (report.statuses[status] ?? 0) + 1;
        report.slowestMs = Math.max(report.slowestMs, ms);
        if (status >= 400) {
          const code = /"code":"([^"]+)"/.exec(body)?.[1] ?? body.slice(0, 200);
          report.refusals[code] = (report.refusals[code] ?? 0) + 1;
        }
        // Somebody else is still at work with this key, perhaps a process that died: the client is asked to come again.
        if (status >= 500 || (wanted.persistent && body.includes('"idempotency_in_progress"'))) return resolve(false);
        wanted.answered?.(status, body);
        resolve(true);
      };
      const outgoing = request(
        {
          port,
          host,
          agent,
          method: wanted.method,
          path: wanted.path,
          headers: { ...(name === undefined ? {} : { host: name }), ...wanted.headers },
        },
        (response) => {
          let text = '';
          response
            .setEncoding('utf8')
            .on('data', (chunk: string) => {
              text += chunk;
            })
            .on('error', (error) => ended(0, '', error.message))
            .on('end', () => {
              const status = response.statusCode ?? 0;
              if (status < 500) return ended(status, text);
              if (!refusal(response, text)) return ended(status, text, `${status} ${text.slice(0, 200)}`);
              report.refused += 1;
              ended(status, text);
            });
        },
      );
      // The whole answer, not a pause between two bytes of it.
      const patience = setTimeout(
        () => outgoing.destroy(new Error(`no answer in ${PATIENCE_MS / 1000} s`)),
        PATIENCE_MS,
      );
      outgoing.on('error', (error) => ended(0, '', error.message));
      outgoing.end(wanted.body);
    });

  const whole = async (wanted: LoadRequest) => {
    if (await attempt(wanted)) return;
    if (!wanted.persistent) return;
    let pauseMs = REPEAT_MS;
    do {
      const jittered = pauseMs * (0.75 + Math.random() / 2);
      await new Promise((resolve) => setTimeout(resolve, jittered));
      pauseMs = Math.min(pauseMs * 2, wanted.repeatAtMostMs ?? REPEAT_AT_MOST_MS);
      if (since() > lastWords) {
        report.abandoned += 1;
        return;
      }
      report.repeated += 1;
    } while (!(await attempt(wanted)));
  };

  // Counted from the last change of pace.
  let pace = { perSecond, from: 0, sent: 0 };
  const timer = setInterval(() => {
    const due = pace.sent + Math.floor(((since() - pace.from) / 1000) * pace.perSecond);
    while (report.sent < due) {
      const done = whole(next(report.sent));
      report.sent += 1;
      pending.add(done);
      void done.finally(() => pending.delete(done));
    }
  }, 5);

  return {
    report,
    /** Milliseconds since the start, the scale of `samples`. */
    now: since,
    /** Sends at another rate from now on. */
    pace(rate: number): void {
      pace = { perSecond: rate, from: since(), sent: report.sent };
    },
    /** @param persistMs for how long persistent requests are still repeated */
    async stop(persistMs = 120_000): Promise<LoadReport> {
      clearInterval(timer);
      lastWords = since() + persistMs;
      await Promise.all(pending);
      agent.destroy();
      return report;
    },
  };
}

/** A running load. */
export type Load = ReturnType<typeof startLoad>;

/** Latencies and gaps of what was answered well in a span of time; `gapMs` is the longest time without any answer. */
export function summarize(samples: readonly Sample[], from = 0, to = Number.POSITIVE_INFINITY) {
  const within = samples.filter((sample) => sample.at >= from && sample.at < to);
  const good = within.filter((sample) => !sample.failed && sample.status < 500);
  const sorted = good.map((sample) => sample.ms).sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const ends = good.map((sample) => sample.at + sample.ms).sort((a, b) => a - b);
  let gapMs = 0;
  for (let i = 1; i < ends.length; i++) gapMs = Math.max(gapMs, (ends[i] ?? 0) - (ends[i - 1] ?? 0));
  return {
    count: within.length,
    good: good.length,
    failed: within.filter((sample) => sample.failed).length,
    refused: within.filter((sample) => !sample.failed && sample.status >= 500).length,
    p50: at(0.5),
    p99: at(0.99),
    max: sorted.at(-1) ?? 0,
    gapMs,
  };
}
