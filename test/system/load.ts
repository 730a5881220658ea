import { Agent, request } from 'node:http';

/** What a load did: every answer by status, and every request that got none. */
export type LoadReport = {
  sent: number;
  statuses: Record<number, number>;
  errors: string[];
  slowestMs: number;
  refusals: Record<string, number>;
};

/** One request of a load. */
export type LoadRequest = { method: string; path: string; headers: Record<string, string>; body?: string };

/**
 * Sends `perSecond` requests a second over kept-alive connections, whether or not earlier ones were answered (open
 * loop), until `stop` is called; then waits for what is under way.
 */
export function startLoad(port: number, perSecond: number, next: (n: number) => LoadRequest) {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const report: LoadReport = { sent: 0, statuses: {}, errors: [], slowestMs: 0, refusals: {} };
  const pending = new Set<Promise<void>>();
  const startedAt = performance.now();

  const sendOne = () => {
    const wanted = next(report.sent);
    report.sent += 1;
    const from = performance.now();
    const done = new Promise<void>((resolve) => {
      const outgoing = request(
        {
          port,
          host: '127.0.0.1',
          agent,
          method: wanted.method,
          path: wanted.path,
          headers: wanted.headers,
          timeout: 10_000,
        },
        (response) => {
          response
            .on('error', (error) => fail(error))
            .on('end', () => {
              const status = response.statusCode ?? 0;
              report.statuses[status] = (report.statuses[status] ?? 0) + 1;
              report.slowestMs = Math.max(report.slowestMs, performance.now() - from);
              resolve();
            });
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            // Only a refusal is read, for the code of its problem.
            if ((response.statusCode ?? 0) >= 400) text += chunk;
          });
          response.on('end', () => {
            if (!text) return;
            const code = /"code":"([^"]+)"/.exec(text)?.[1] ?? text.slice(0, 200);
            report.refusals[code] = (report.refusals[code] ?? 0) + 1;
          });
        },
      );
      const fail = (error: Error) => {
        report.errors.push(`${wanted.method} ${wanted.path}: ${error.message}`);
        resolve();
      };
      outgoing.on('error', fail).on('timeout', () => outgoing.destroy(new Error('no answer in 10 s')));
      outgoing.end(wanted.body);
    });
    pending.add(done);
    void done.finally(() => pending.delete(done));
  };

  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startedAt) / 1000) * perSecond);
    while (report.sent < due) sendOne();
  }, 5);

  return {
    report,
    async stop(): Promise<LoadReport> {
      clearInterval(timer);
      await Promise.all(pending);
      agent.destroy();
      return report;
    },
  };
}
