import type { Request, RequestHandler, Response } from 'express';
import type { Db } from '#platform/db/index.ts';
import { fail, KlarError, toKlarError } from '#platform/errors/index.ts';
import type { Logger } from '#platform/log/index.ts';
import { addLogContext } from '#platform/log/index.ts';
import { checkText, readJson } from './body.ts';
import type { Door } from './door.ts';
import type { Idempotency } from './idempotency.ts';
import { REQUEST_TIMEOUT_MS, startLifetime } from './lifetime.ts';
import { corsHeaders, type OriginRules, type OriginUse, originAllowed } from './origins.ts';
import type { Overload, Place } from './overload.ts';
import { invalidRequest } from './problem.ts';
import type { RateLimiter } from './rate-limit.ts';
import type { PathRoutes } from './registry.ts';
import { addressOf, idempotencyKeyOf, tenantSlugOf } from './request-headers.ts';
import { recordOf, sendAnswer, sendError } from './respond.ts';
import type { AnyInput, Route } from './route.ts';
import { runForTenant } from './tenant-route.ts';
import { toWire } from './wire.ts';

export interface PipelineInput {
  door: Door;
  db: Db;
  log: Logger;
  limiter: RateLimiter;
  idempotency: Idempotency;
  overload: Overload;
  origins: OriginRules;
  /** Bytes of a JSON body. */
  bodyLimit: number;
  /** Outside production an answer that breaks its schema is a 500; in production it is logged and sent. */
  strictAnswers: boolean;
  /** Wraps each handler, e.g. in a span. */
  trace?: <T>(name: string, fn: () => Promise<T>) => Promise<T>;
}

/** Which origin list a route asks. */
export function originUseOf(route: Route): OriginUse {
  if (route.rateClass === 'auth') return 'auth';
  return route.access.kind === 'public' ? 'public' : 'cors';
}

/** Express handler of one route: admission, limits, validation, handler, answer, in this order. */
export function createPipeline(p: PipelineInput): (route: Route) => RequestHandler {
  return (route) => async (req, res) => {
    recordOf(res).route = route.id;
    addLogContext({ route: route.id });
    const life = startLifetime(req, res, route.timeoutMs ?? REQUEST_TIMEOUT_MS);
    let place: Place | undefined;
    try {
      place = p.overload.enter();
      const work = serve(p, route, req, res, { signal: life.signal, place });
      // After a timeout nobody awaits it any more.
      work.catch(() => undefined);
      sendAnswer(res, await Promise.race([work, life.over]));
    } catch (error) {
      // A statement that was cancelled because the client left is not the database's failure.
      sendError(p.log, res, life.signal.aborted ? life.signal.reason : error);
    } finally {
      // Also where the work was given up and has not noticed: a handler that hangs must not hold its place for ever.
      place?.leave();
      life.end();
    }
  };
}

async function serve(
  p: PipelineInput,
  route: Route,
  req: Request,
  res: Response,
  { signal, place }: { signal: AbortSignal; place: Place },
) {
  const ip = addressOf(req);
  // A page must be able to read why its credentials were refused. Admin paths must look like no path at all.
  if (route.access.kind !== 'platform') nameOrigin(p, route, req, res);
  const principal = await admit(p, route, req, ip);
  if (principal !== undefined) {
    const caller = p.door.nameOf(principal);
    recordOf(res).principal = caller;
    addLogContext({ principal: caller });
  }
  checkOrigin(p, route, req, res);
  const { tenantId, missing } = await tenantOf(p, route, principal, req);
  if (tenantId !== undefined) {
    recordOf(res).tenantId = tenantId;
    addLogContext({ tenant_id: tenantId });
  }
  await p.limiter.take(route.rateClass, { ip, tenantId, principal: principal && p.door.nameOf(principal) });
  const idempotencyKey = route.idempotent ? idempotencyKeyOf(req) : undefined;
  const { raw, valid } = await readValid(p, route, req, place).catch(async (error) => {
    // Nobody knows yet whether this caller belongs there: see giveBack.
    if (tenantId !== undefined) await p.limiter.giveBack(route.rateClass, tenantId);
    throw error;
  });
  if (missing !== undefined) throw missing;
  const input: AnyInput = {
    ...valid,
    requestId: recordOf(res).requestId,
    ip,
    headers: req.headers,
    signal,
    ...(principal === undefined ? {} : { principal, actor: p.door.actorOf(principal) }),
  };
  const traced = p.trace ?? ((_name, fn) => fn());
  return traced(route.id, async () => {
    if (route.access.kind !== 'tenant' || principal === undefined || tenantId === undefined) {
      return toWire(route, await route.handle(input), p);
    }
    return runForTenant(p, {
      route,
      input,
      principal,
      tenantId,
      permission: route.access.permission,
      idempotencyKey,
      path: req.path,
      raw,
    });
  });
}

/**
 * The tenant that the request names. One that does not exist is told only after the request itself was checked, as
 * one that is somebody else's is: a malformed request must not tell the two apart.
 */
async function tenantOf(
  { door }: PipelineInput,
  route: Route,
  principal: object | undefined,
  req: Request,
): Promise<{ tenantId?: string; missing?: KlarError }> {
  if (route.access.kind !== 'tenant' || principal === undefined) return {};
  try {
    return { tenantId: await door.tenantOf(principal, tenantSlugOf(req)) };
  } catch (error) {
    if (error instanceof KlarError && error.kind === 'not_found') return { missing: error };
    throw error;
  }
}

/** Who calls, where the route lets them in. */
async function admit(p: PipelineInput, route: Route, req: Request, ip: string): Promise<object | undefined> {
  if (route.access.kind === 'public') return undefined;
  try {
    if (req.headers.authorization !== undefined) await p.limiter.checkCredentials(ip);
    const principal = await authenticate(p, req, ip);
    if (principal === undefined) throw fail.unauthenticated();
    return await p.door.admit(principal, route.access);
  } catch (error) {
    const hidden = route.access.kind === 'platform' && error instanceof KlarError && error.status < 500;
    // Whoever has said who they are, and is no administrator, sees a path that does not exist.
    throw hidden && error.kind !== 'unauthenticated' && error.kind !== 'rate_limited' ? fail.notFound() : error;
  }
}

/**
 * Answer to a method that a path does not have: 405, but 401 or 404 below admin paths for who is no administrator.
 * @throws KlarError always
 */
export async function refuseMethod(p: PipelineInput, at: PathRoutes, req: Request): Promise<never> {
  const routes = [...at.methods.values()];
  if (routes[0] !== undefined && isHidden(at)) await admit(p, routes[0], req, addressOf(req));
  throw fail.methodNotAllowed([...at.methods.keys(), 'OPTIONS']);
}

/** Only platform routes on this path: to logged-in others it must look like no path at all. */
export function isHidden(at: PathRoutes): boolean {
  return [...at.methods.values()].every((route) => route.access.kind === 'platform');
}

async function authenticate(p: PipelineInput, req: Request, ip: string): Promise<object | undefined> {
  try {
    return await p.door.authenticate(req);
  } catch (error) {
    if (toKlarError(error).kind === 'unauthenticated') await p.limiter.badCredential(ip);
    throw error;
  }
}

function checkOrigin(p: PipelineInput, route: Route, req: Request, res: Response): void {
  if (nameOrigin(p, route, req, res)) return;
  throw route.access.kind === 'platform'
    ? fail.notFound()
    : fail.forbidden('origin_not_allowed', 'This origin may not call this API.');
}

/** Whether the origin, where there is one, may use the route; if so the answer names it. */
function nameOrigin(p: PipelineInput, route: Route, req: Request, res: Response): boolean {
  res.setHeader('Vary', 'Origin');
  const origin = req.headers.origin;
  if (origin === undefined) return true;
  if (!originAllowed(origin, originUseOf(route), p.origins)) return false;
  for (const [name, value] of Object.entries(corsHeaders(origin))) res.setHeader(name, value);
  return true;
}

export interface RawRequest {
  params: Record<string, unknown>;
  query: Record<string, unknown>;
  body: unknown;
}

async function readRaw(p: PipelineInput, route: Route, req: Request, place: Place): Promise<RawRequest> {
  // Who sends its body slowly must not keep others out.
  const body = route.method === 'GET' ? undefined : await place.outside(() => readJson(req, p.bodyLimit));
  for (const part of [req.params, req.query]) {
    for (const [name, value] of Object.entries(part)) {
      checkText(name);
      for (const text of Array.isArray(value) ? value : [value]) if (typeof text === 'string') checkText(text);
    }
  }
  return { params: { ...req.params }, query: { ...req.query }, body };
}

async function readValid(p: PipelineInput, route: Route, req: Request, place: Place) {
  const raw = await readRaw(p, route, req, place);
  return { raw, valid: validate(route, raw) };
}

function validate(route: Route, raw: RawRequest): { params: unknown; query: unknown; body: unknown } {
  const parse = (schema: Route['body'], value: unknown, place: string) => {
    const result = schema?.safeParse(value);
    if (result?.success === false) throw invalidRequest(result.error, place);
    return result?.data;
  };
  if (route.query === undefined && Object.keys(raw.query).length > 0) {
    throw fail.invalid('invalid_request', 'This operation takes no query parameters.');
  }
  // `{}` is what many clients send where nothing is asked for.
  if (route.body === undefined && raw.body !== undefined && !isEmptyObject(raw.body)) {
    throw fail.invalid('invalid_request', 'This operation takes no body.');
  }
  return {
    params: parse(route.params, raw.params, 'path') ?? {},
    query: parse(route.query, raw.query, 'query') ?? {},
    body: parse(route.body, raw.body, 'body'),
  };
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0;
}
