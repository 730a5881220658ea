import { z } from 'zod';
import { readStatusNumbers } from '#domain/operations/index.ts';
import type { Route } from '#platform/http/index.ts';
import { type ApiDeps, route } from '../deps.ts';

const readiness = z.object({
  ok: z.boolean(),
  checks: z.record(z.string(), z.object({ ok: z.boolean(), detail: z.string().optional() })),
});

const count = z.int().min(0);
const seconds = z.number().min(0).nullable();

/** The system about itself. `document` is asked late: it describes these routes, too. */
export function opsRoutes(deps: Pick<ApiDeps, 'db' | 'readiness'>, document: () => object): Route[] {
  return [
    route({
      id: 'ops.ready',
      method: 'GET',
      path: '/api/ready',
      access: { kind: 'public' },
      rateClass: 'ops',
      summary: 'Whether this process can serve',
      responses: { 200: readiness, 503: readiness },
      async handle() {
        const { ok, checks } = await deps.readiness();
        return ok ? { status: 200, body: { ok, checks } } : { status: 503, body: { ok, checks } };
      },
    }),
    route({
      id: 'ops.openapi',
      method: 'GET',
      path: '/api/openapi.json',
      access: { kind: 'public' },
      rateClass: 'ops',
      summary: 'This document',
      responses: { 200: z.looseObject({ openapi: z.literal('3.1.0') }) },
      handle: async () => ({ status: 200, body: document() as { openapi: '3.1.0' } }),
    }),
    route({
      id: 'ops.metrics',
      method: 'GET',
      path: '/api/ops/metrics',
      access: { kind: 'platform', permission: 'platform.ops.read' },
      rateClass: 'ops',
      summary: 'Numbers of the whole system, for monitors outside the cluster',
      responses: {
        200: z.object({
          worker_heartbeat_age_s: seconds,
          webhook_failures_1h: count,
          jobs_failed_1h: count,
          queue_depth: count,
          dead_letters: count,
          inbox_depth: count,
          inbox_oldest_ready_s: seconds,
          task_failures_24h: count,
          oldest_task_success_age_s: seconds,
        }),
      },
      async handle({ signal }) {
        return { status: 200, body: await deps.db.withTx(readStatusNumbers, { signal, readOnly: true }) };
      },
    }),
  ];
}
