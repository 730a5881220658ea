import type { TenantTx } from '#platform/db/index.ts';
import { toKlarError } from '#platform/errors/index.ts';
import { currentRequestId } from '#platform/log/index.ts';
import { type Lease, requestHash, type WireAnswer } from './idempotency.ts';
import type { PipelineInput, RawRequest } from './pipeline.ts';
import { toFailure } from './problem.ts';
import type { AnyInput, RawAnswer, Route } from './route.ts';
import { toWire } from './wire.ts';

interface TenantCall {
  route: Route;
  input: AnyInput;
  principal: object;
  tenantId: string;
  permission: string;
  idempotencyKey: string | undefined;
  path: string;
  raw: RawRequest;
}

/** A handler inside its tenant: each transaction authorizes, and with an Idempotency-Key the last one stores the answer. */
export async function runForTenant(p: PipelineInput, call: TenantCall): Promise<WireAnswer> {
  const { route, input, principal, tenantId } = call;
  const denied = new WeakSet<object>();

  /** Authorization and the first statements of `fn` go in one flight; without the grant nothing of it counts. */
  async function authorize(tx: TenantTx) {
    try {
      return await p.door.authorize(tx, principal, call.permission, route.mode);
    } catch (error) {
      if (typeof error === 'object' && error !== null) denied.add(error);
      if (toKlarError(error).kind === 'not_found') void p.limiter.giveBack(route.rateClass, tenantId);
      throw error;
    }
  }
  const inTx = <T>(fn: (tx: TenantTx) => Promise<T>) =>
    p.db.withTenantTx(tenantId, fn, { signal: input.signal, readOnly: route.method === 'GET' && route.audit === null });

  async function handler(lease: Lease | undefined): Promise<WireAnswer> {
    const more = (grant: { slug: string; role: string | undefined }): AnyInput => ({
      ...input,
      tenant: { id: tenantId, slug: grant.slug },
      role: grant.role,
      grant,
      idempotencyKey: call.idempotencyKey,
    });
    if (!route.steps) {
      return inTx(async (tx) => {
        const grant = await authorize(tx);
        const answer = toWire(route, await route.handle({ ...more(grant), tx }), p);
        await lease?.complete(tx, answer);
        return answer;
      });
    }
    let finished: WireAnswer | undefined;
    const step = <T>(fn: (tx: TenantTx) => Promise<T>) =>
      inTx(async (tx) => {
        await all(authorize(tx), lease?.fence(tx));
        return fn(tx);
      });
    const grant = await inTx(authorize);
    const last = await route.handle({
      ...more(grant),
      withTx: step,
      finish: (fn: (tx: TenantTx) => Promise<RawAnswer>) =>
        step(async (tx) => {
          const answer = await fn(tx);
          const wire = toWire(route, answer, p);
          await lease?.complete(tx, wire);
          finished = wire;
          return answer;
        }),
    });
    if (finished !== undefined) return finished;
    const wire = toWire(route, last, p);
    if (lease !== undefined) await p.db.withTenantTx(tenantId, (tx) => lease.complete(tx, wire));
    return wire;
  }

  const { idempotencyKey } = call;
  if (idempotencyKey === undefined) return handler(undefined);
  const answer = await p.idempotency.run({
    id: { tenantId, principal: p.door.nameOf(principal), operation: route.id, key: idempotencyKey },
    hash: requestHash({ path: call.path, query: call.raw.query, body: call.raw.body }),
    signal: input.signal,
    look: (fn) => inTx(async (tx) => (await all(authorize(tx), fn(tx)))[1]),
    tidy: (fn) => p.db.withTenantTx(tenantId, fn),
    execute: handler,
    refusal(error) {
      const known = toKlarError(error);
      if (known.status >= 500 || known.retryable || denied.has(known)) return undefined;
      const { status, headers, problem } = toFailure(known, currentRequestId() ?? input.requestId);
      return { status, headers, body: JSON.stringify(problem) };
    },
  });
  return answer.replayed ? { ...answer, headers: { ...answer.headers, 'Idempotent-Replayed': 'true' } } : answer;
}

/** Both in one flight, the first one's error first: a stranger is told "not found", never what the second ran into. */
async function all<A, B>(first: Promise<A>, second: Promise<B> | undefined): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first, second as Promise<B>]);
  if (a.status === 'rejected') throw a.reason;
  if (b.status === 'rejected') throw b.reason;
  return [a.value, b.value];
}
