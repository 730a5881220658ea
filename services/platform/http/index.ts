/** HTTP for any process: routes as data, their pipeline, problems, idempotency, limits and the OpenAPI document. */
export { parseJson, readBytes } from './body.ts';
export { type CursorValue, decodeCursor, encodeCursor, listOf, listQuery, setCursorKeys } from './cursor.ts';
export type { Door } from './door.ts';
export { queryBool, queryInt, text } from './fields.ts';
export { createIdempotency, IDEMPOTENCY_DEFAULTS, type Idempotency, type IdempotencyOptions } from './idempotency.ts';
export { REQUEST_TIMEOUT_MS } from './lifetime.ts';
export { type HttpServer, listen } from './listener.ts';
export { type DocumentInfo, openApiDocument } from './openapi.ts';
export { type OriginRules, originAllowed, preflightHeaders } from './origins.ts';
export { createOverload, type Overload } from './overload.ts';
export { createPipeline, isHidden, originUseOf, type PipelineInput, refuseMethod } from './pipeline.ts';
export { type Problem, problemSchema } from './problem.ts';
export { createRateLimiter, type RateLimiter, type RateLimits } from './rate-limit.ts';
export { connectRedis, type RedisLink } from './redis.ts';
export { createRegistry, type PathRoutes } from './registry.ts';
export { addressOf, checkHeaders, requestIdOf } from './request-headers.ts';
export { beginRecord, type RequestRecord, recordOf, sendError } from './respond.ts';
export {
  type Access,
  type Answer,
  type HttpTypes,
  type Method,
  type RateClass,
  type RawAnswer,
  type Responses,
  type Route,
  routeFor,
} from './route.ts';
