import { setTracing } from './trace.ts';

export type OtelInput = { endpoint: string; process: string; commit?: string | undefined };

/**
 * Starts OpenTelemetry traces over OTLP/HTTP. The packages are loaded here and not above: they cost 200 ms and
 * 30 MiB that a process without a collector should not pay.
 */
export async function startOtel(input: OtelInput): Promise<{ stop(): Promise<void> }> {
  const [api, sdk, { OTLPTraceExporter }, { AsyncLocalStorageContextManager }, { resourceFromAttributes }] =
    await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/sdk-trace'),
      import('@opentelemetry/exporter-trace-otlp-http'),
      import('@opentelemetry/context-async-hooks'),
      import('@opentelemetry/resources'),
    ]);
  const exporter = new OTLPTraceExporter({ url: `${input.endpoint}/v1/traces` });
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({
      'service.name': `klar-${input.process}`,
      'service.namespace': 'klar',
      ...(input.commit ? { 'service.version': input.commit } : {}),
    }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter })],
  });
  const manager = new AsyncLocalStorageContextManager().enable();
  api.context.setGlobalContextManager(manager);
  const tracer = provider.getTracer('klar');
  setTracing({
    run(name, kind, attributes, carrier, fn) {
      const parent = carrier ? remoteParent(api, carrier) : api.context.active();
      const span = tracer.startSpan(name, { kind, attributes }, parent);
      return api.context.with(api.trace.setSpan(parent, span), () => fn(span));
    },
    record(name, kind, attributes, seconds) {
      const now = Date.now();
      tracer.startSpan(name, { kind, attributes, startTime: now - seconds * 1000 }, api.context.active()).end(now);
    },
  });
  return {
    async stop() {
      setTracing(undefined);
      await provider.shutdown();
      api.context.disable();
    },
  };
}

/** W3C Trace Context: version, trace id, parent id, flags. Anything else starts a trace of its own. */
function remoteParent(api: typeof import('@opentelemetry/api'), carrier: object) {
  const header = (carrier as { traceparent?: unknown }).traceparent;
  const match = typeof header === 'string' ? /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(header) : null;
  // An id of zeros is refused by the SDK itself, which then starts a trace of its own.
  if (!match) return api.ROOT_CONTEXT;
  const [, traceId = '', spanId = '', flags = '00'] = match;
  const remote = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return api.trace.setSpanContext(api.ROOT_CONTEXT, remote);
}
