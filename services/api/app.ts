import type { RequestListener } from 'node:http';
import express, { type ErrorRequestHandler, type RequestHandler } from 'express';
import helmet from 'helmet';
import { fail } from '#platform/errors/index.ts';
import {
  addressOf,
  beginRecord,
  checkHeaders,
  createPipeline,
  createRegistry,
  isHidden,
  originAllowed,
  originUseOf,
  type PathRoutes,
  type PipelineInput,
  preflightHeaders,
  type Route,
  recordOf,
  refuseMethod,
  requestIdOf,
  sendError,
} from '#platform/http/index.ts';
import { withLogContext } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { withServerSpan } from '#platform/telemetry/index.ts';

export interface AppInput {
  routes: readonly Route[];
  pipeline: PipelineInput;
  metrics: Metrics;
  /** Networks whose X-Forwarded-For is believed. */
  trustedProxies: readonly string[];
  /** Whether clients reach us by https: HSTS, and no http inside pages. */
  https: boolean;
  /** Folder of static pages. */
  pages?: string | undefined;
}

/** The order in which a request meets the parts of this process. Pure: it opens no port and reads no setting. */
export function createApp(input: AppInput): RequestListener {
  const { pipeline, routes } = input;
  const app = express();
  app.disable('x-powered-by').disable('etag');
  app.enable('case sensitive routing').enable('strict routing');
  // Node's parser: no nested objects out of `a[b]=c`, no prototype.
  app.set('query parser', 'simple');
  app.set('trust proxy', input.trustedProxies.length === 0 ? false : [...input.trustedProxies]);

  app.use(observe(input));
  app.use(securityHeaders(input.https));
  app.use((req, _res, next) => {
    checkHeaders(req);
    next();
  });
  app.use('/api', (_req, res, next) => {
    res.setHeader('Cache-Control', 'no-store');
    next();
  });
  const serve = createPipeline(pipeline);
  for (const at of createRegistry(routes)) {
    const path = app.route(at.path);
    path.options(preflight(at, pipeline));
    for (const route of at.methods.values()) {
      path[route.method.toLowerCase() as 'get' | 'post' | 'put' | 'patch' | 'delete'](serve(route));
    }
    path.all((req) => refuseMethod(pipeline, at, req));
  }
  if (input.pages !== undefined) app.use(express.static(input.pages, { extensions: ['html'], redirect: false }));
  app.use(() => {
    throw fail.notFound();
  });
  const onError: ErrorRequestHandler = (error, _req, res, _next) => {
    // The router's own complaint about a path that cannot be decoded.
    sendError(
      pipeline.log,
      res,
      error instanceof URIError ? fail.invalid('invalid_path', 'The path is malformed.') : error,
    );
  };
  app.use(onError);
  return app;
}

/** Request id, log context, and at the end one access line and the metrics. */
function observe({ pipeline: { log }, metrics }: AppInput): RequestHandler {
  const total = metrics.counter('klar_http_requests_total', 'HTTP requests', ['route', 'method', 'status']);
  const seconds = metrics.histogram('klar_http_request_seconds', 'Time to the last byte of an answer', [
    'route',
    'method',
  ]);
  const running = metrics.gauge('klar_http_requests_in_flight', 'HTTP requests that run now');
  const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
  return (req, res, next) => {
    const requestId = requestIdOf(req);
    const startedAt = performance.now();
    beginRecord(res, { requestId, startedAt, route: 'unmatched' });
    res.setHeader('X-Request-Id', requestId);
    running.inc();
    res.once('close', () => {
      running.dec();
      const record = recordOf(res);
      const status = res.writableFinished ? res.statusCode : (record.status ?? 499);
      const duration = (performance.now() - startedAt) / 1000;
      // A label's values must be few: clients can invent methods.
      const method = methods.has(req.method) ? req.method : 'other';
      total.inc({ route: record.route, method, status });
      seconds.observe({ route: record.route, method }, duration);
      log.info('request', {
        request_id: requestId,
        route: record.route,
        method,
        // A known route's real path may hold a token (invitations); its name says enough.
        ...(record.route === 'unmatched' ? { path: loggedPath(req.path) } : {}),
        status,
        code: record.code,
        duration_ms: Math.round(duration * 10_000) / 10,
        ip: addressOf(req),
        principal: record.principal,
        tenant_id: record.tenantId,
        user_agent: req.headers['user-agent']?.slice(0, 200),
      });
    });
    withLogContext({ request_id: requestId }, () => withServerSpan(req, res, next));
  };
}

/** A path that is no route may be one with a slash too much, or another method: what is as long as a token is left out. */
function loggedPath(path: string): string {
  return path.replace(/[A-Za-z0-9_-]{40,}/g, '...').slice(0, 200);
}

function securityHeaders(https: boolean): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'"],
        connectSrc: ["'self'"],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
        ...(https ? { upgradeInsecureRequests: [] } : {}),
      },
    },
    // Over http a browser ignores it, on localhost it would lock other projects out of http for months.
    strictTransportSecurity: https ? { maxAge: 31_536_000, includeSubDomains: true } : false,
    referrerPolicy: { policy: 'no-referrer' },
    xFrameOptions: { action: 'deny' },
  });
}

/** CORS preflight: answered for exactly the origins that the real request would be let in from. */
function preflight(at: PathRoutes, pipeline: PipelineInput): RequestHandler {
  return async (req, res) => {
    const { origin } = req.headers;
    const wanted = req.headers['access-control-request-method'];
    const route = [...at.methods.values()].find(({ method }) => method === wanted);
    if (origin === undefined || route === undefined) return refuseMethod(pipeline, at, req);
    res.setHeader('Vary', 'Origin');
    if (!originAllowed(origin, originUseOf(route), pipeline.origins)) {
      throw isHidden(at) ? fail.notFound() : fail.forbidden('origin_not_allowed', 'This origin may not call this API.');
    }
    recordOf(res).route = route.id;
    for (const [name, value] of Object.entries(preflightHeaders(origin, [...at.methods.keys()])))
      res.setHeader(name, value);
    res.statusCode = 204;
    res.end();
  };
}
