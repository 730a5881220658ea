import { onLoggedError } from '#platform/log/index.ts';

export type SentryInput = { dsn: string; process: string; environment: string; release?: string | undefined };

/** A provider that is slow to take reports must not hold them in memory, nor hold up a stop. */
const FLUSH_MS = 2_000;

/**
 * Reports every line of level `error` to Sentry, already redacted as in the log. Only Sentry's core is used: its
 * Node package patches modules and brings a second tracing stack.
 */
export async function startSentry(input: SentryInput): Promise<{ stop(): Promise<void> }> {
  const { createStackParser, createTransport, Scope } = await import('@sentry/core');
  const { nodeStackLineParser, ServerRuntimeClient } = await import('@sentry/core/server');
  const client = new ServerRuntimeClient({
    dsn: input.dsn,
    environment: input.environment,
    release: input.release,
    serverName: input.process,
    runtime: { name: 'node', version: process.version },
    platform: 'node',
    integrations: [],
    stackParser: createStackParser(nodeStackLineParser()),
    transport: (options) =>
      createTransport(options, async ({ body }) => {
        const response = await fetch(options.url, {
          method: 'POST',
          body: body as string,
          headers: { 'content-type': 'application/x-sentry-envelope' },
          signal: AbortSignal.timeout(5_000),
        });
        return {
          statusCode: response.status,
          headers: {
            'x-sentry-rate-limits': response.headers.get('x-sentry-rate-limits'),
            'retry-after': response.headers.get('retry-after'),
          },
        };
      }),
  });
  client.init();
  const forget = onLoggedError(({ msg, error, fields }) => {
    const scope = new Scope();
    scope.setExtras({ ...fields, msg });
    if (typeof fields.request_id === 'string') scope.setTag('request_id', fields.request_id);
    if (typeof fields.tenant_id === 'string') scope.setTag('tenant_id', fields.tenant_id);
    if (error === undefined) {
      client.captureMessage(msg, 'error', undefined, scope);
      return;
    }
    const { name, message, stack } = error;
    client.captureException(Object.assign(new Error(message ?? msg), { name, stack }), undefined, scope);
  });
  return {
    async stop() {
      forget();
      await client.close(FLUSH_MS);
    },
  };
}
