import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import type { TenantTx } from '#platform/db/index.ts';

/**
 * A route is data. From this one object come validation, the OpenAPI document, the authorization matrix test, the rate
 * class, the audit action and the metric label. This file holds its types; `registry.ts` checks a set of routes.
 */

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Budget a call is counted against. The limits are settings (`RATE_LIMIT_*`). */
export type RateClass = 'auth' | 'read' | 'write' | 'billing' | 'media' | 'ops';

/**
 * Who may call.
 * - `public`: anybody; the handler sees no principal.
 * - `person`: any logged-in person, no tenant.
 * - `tenant`: a member or an API key of the tenant in `Klar-Tenant`, holding `permission`.
 * - `platform`: a platform administrator; without valid credentials 401, to everybody else a path that does not exist.
 */
export type Access<P extends string = string, PP extends string = string> =
  | { kind: 'public' }
  | { kind: 'person' }
  | { kind: 'tenant'; permission: P }
  | { kind: 'platform'; permission: PP };

/** The words of one process that platform/http must not know: a process binds them once with `routeFor`. */
export interface HttpTypes {
  permission: string;
  platformPermission: string;
  person: object;
  member: object;
  platform: object;
  actor: object;
  /** What authorization found about the caller in the tenant. */
  grant: { slug: string; role: string | undefined };
}

/** Answers by status. `null` is an answer without a body (204, 303). */
export type Responses = Record<number, z.ZodType | null>;

export type Answer<R extends Responses> = {
  [S in keyof R & number]: { status: S; headers?: Record<string, string> } & (R[S] extends z.ZodType
    ? { body: z.input<R[S]> }
    : { body?: undefined });
}[keyof R & number];

export interface RawAnswer {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}

interface CommonInput {
  /** Id of this request, as in the `X-Request-Id` header, logs and problems. */
  requestId: string;
  /** Address of the client, after TRUSTED_PROXIES. */
  ip: string;
  headers: IncomingHttpHeaders;
  /** Aborts when the client goes away or the request's time is over. */
  signal: AbortSignal;
}

interface TenantInput<T extends HttpTypes> {
  principal: T['member'];
  actor: T['actor'];
  tenant: { id: string; slug: string };
  /** Role of the person in the tenant; undefined for an API key. */
  role: T['grant']['role'];
  /** All that authorization found. With steps it is as of the first transaction. */
  grant: T['grant'];
  /** The client's Idempotency-Key where one was sent: the handler's base for keys of its own towards providers. */
  idempotencyKey: string | undefined;
}

interface TxInput {
  /** One transaction for the whole handler: authorization, effect, audit and the stored answer commit together. */
  tx: TenantTx;
}

interface StepsInput<A> {
  /** A transaction of its own, authorized again. With an Idempotency-Key it is fenced: a request that lost its lease rolls back. */
  withTx<V>(fn: (tx: TenantTx) => Promise<V>): Promise<V>;
  /** As `withTx`, for the last transaction: its answer is stored for the Idempotency-Key in the same commit. */
  finish(fn: (tx: TenantTx) => Promise<A>): Promise<A>;
}

type AccessInput<T extends HttpTypes, A extends Access, S extends boolean, Ans> = A extends { kind: 'tenant' }
  ? TenantInput<T> & (S extends true ? StepsInput<Ans> : TxInput)
  : A extends { kind: 'person' }
    ? { principal: T['person']; actor: T['actor'] }
    : A extends { kind: 'platform' }
      ? { principal: T['platform']; actor: T['actor'] }
      : unknown;

/** A mutating route names the audit action that its transaction appends, or says why it has none. */
type AuditOf<M extends Method> = M extends 'GET'
  ? { audit?: string | null; auditReason?: string }
  : { audit: string; auditReason?: undefined } | { audit: null; auditReason: string };

export interface RouteDef<
  T extends HttpTypes,
  M extends Method,
  A extends Access<T['permission'], T['platformPermission']>,
  S extends boolean,
  P extends z.ZodType,
  Q extends z.ZodType,
  B extends z.ZodType,
  R extends Responses,
> {
  /** Operation `module.verb`: unique; the OpenAPI operationId, the metric label and the idempotency scope. */
  id: string;
  method: M;
  /** `/api/orders/:id`; each `:name` is a field of `params`. */
  path: string;
  access: A;
  rateClass: RateClass;
  summary: string;
  description?: string;
  /** Strict object of strings; a transform may parse. */
  params?: P;
  query?: Q;
  /** JSON body. Objects are made strict: an unknown field is a 400. */
  body?: B;
  responses: R;
  /** Codes of business problems the operation can answer with; documentation and a test's checklist. */
  errors?: readonly string[];
  /** Problem statuses beyond those that every route of its kind can answer with. */
  problems?: readonly number[];
  /** Accepts `Idempotency-Key`. Never for an answer that carries a secret: answers are stored for 72 h. */
  idempotent?: A extends { kind: 'tenant' } ? boolean : never;
  /** No transaction is opened; the handler calls `withTx` and `finish` (a provider is called between). */
  steps?: S;
  /** A POST that only reads (a search, an export) stays open to a suspended tenant with 'read'. Default: GET reads, others write. */
  mode?: 'read' | 'write';
  /** Time limit in ms when 30 s does not fit. */
  timeoutMs?: number;
  handle(
    input: CommonInput & { params: z.output<P>; query: z.output<Q>; body: z.output<B> } & AccessInput<
        T,
        A,
        S,
        Answer<NoInfer<R>>
      >,
  ): Promise<Answer<NoInfer<R>>>;
}

/** What a handler is given, before the access kind narrows it. */
export interface AnyInput extends CommonInput {
  params: unknown;
  query: unknown;
  body: unknown;
  [more: string]: unknown;
}

/** A route whose types were checked when it was written. */
export interface Route {
  readonly id: string;
  readonly method: Method;
  readonly path: string;
  readonly access: Access;
  readonly rateClass: RateClass;
  readonly summary: string;
  readonly description?: string;
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  readonly responses: Responses;
  readonly errors: readonly string[];
  readonly problems: readonly number[];
  readonly idempotent: boolean;
  readonly steps: boolean;
  readonly mode: 'read' | 'write';
  readonly audit: string | null;
  readonly auditReason?: string;
  readonly timeoutMs?: number;
  readonly handle: (input: AnyInput) => Promise<RawAnswer>;
}

const NOTHING = z.strictObject({});

/**
 * The `route()` of one process. The result's `handle` takes exactly what the declared schemas produce.
 * @example const route = routeFor<ApiTypes>();
 */
export function routeFor<T extends HttpTypes>() {
  return function route<
    const M extends Method,
    const A extends Access<T['permission'], T['platformPermission']>,
    const S extends boolean = false,
    P extends z.ZodType = typeof NOTHING,
    Q extends z.ZodType = typeof NOTHING,
    B extends z.ZodType = z.ZodUndefined,
    const R extends Responses = Responses,
  >(def: RouteDef<T, M, A, S, P, Q, B, R> & AuditOf<M>): Route {
    return {
      ...def,
      query: strict(def.query),
      params: strict(def.params),
      body: strict(def.body),
      errors: def.errors ?? [],
      problems: def.problems ?? [],
      idempotent: def.idempotent === true,
      steps: def.steps === true,
      mode: def.mode ?? (def.method === 'GET' ? 'read' : 'write'),
      audit: def.audit ?? null,
      // The pipeline builds the input from these very schemas, which is what the generic signature promised.
      handle: def.handle as unknown as Route['handle'],
    };
  };
}

/** An unknown field is refused instead of ignored: a misspelt `quantity` must not silently buy one. */
function strict(schema: z.ZodType | undefined): z.ZodType | undefined {
  if (schema instanceof z.ZodOptional) return strict(schema.unwrap() as z.ZodType)?.optional();
  return schema instanceof z.ZodObject && schema.def.catchall === undefined ? schema.strict() : schema;
}
