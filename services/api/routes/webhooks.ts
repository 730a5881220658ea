import { z } from 'zod';
import { EVENT_STATES, listEvents, requeueEvents, showEvents } from '#domain/webhooks/index.ts';
import { fail } from '#platform/errors/index.ts';
import { decodeCursor, encodeCursor, listOf, listQuery, type Route, text } from '#platform/http/index.ts';
import { type ApiDeps, route } from '../deps.ts';

const event = z.object({
  id: z.string(),
  provider: z.string(),
  account: z.string(),
  event_id: z.string(),
  type: z.string(),
  livemode: z.boolean().nullable(),
  state: z.enum(EVENT_STATES),
  tenant_id: z.string().nullable(),
  object_ids: z.array(z.string()),
  verdict: z.string(),
  received_at: z.iso.datetime(),
  run: z.number().int(),
  attempts: z.number().int(),
  next_attempt_at: z.iso.datetime(),
  last_error: z.string().nullable(),
  last_failed_at: z.iso.datetime().nullable(),
  handled_at: z.iso.datetime().nullable(),
  replayed_at: z.iso.datetime().nullable(),
});

const name = text({ max: 255 });
const instant = z.iso.datetime({ offset: true }).max(40);
const date = (value: string | undefined): Date | undefined => (value === undefined ? undefined : new Date(value));

const selector = z.object({
  ids: z.array(name).min(1).max(200).optional(),
  provider: name.optional(),
  type: name.optional(),
  tenant_id: name.optional(),
  since: instant.optional(),
  until: instant.optional(),
  dry_run: z.boolean().optional(),
  limit: z.number().int().min(1).max(1_000).optional(),
  reason: text({ max: 500 }),
});

const outcome = z.object({
  verb: z.enum(['replay', 'redrive']),
  dry_run: z.boolean(),
  queued: z.array(z.string()),
  skipped_state: z.number().int(),
  skipped_cooldown: z.number().int(),
  limit_reached: z.boolean(),
});

const LIST = 'admin.webhooks.list';

/** Stored provider events for platform administrators; never a payload, which holds personal data of every school. */
export function webhooksRoutes({ db }: ApiDeps): Route[] {
  const requeue = (verb: 'replay' | 'redrive', summary: string) =>
    route({
      id: `admin.webhooks.${verb}`,
      method: 'POST',
      path: `/api/admin/webhooks/${verb}`,
      access: { kind: 'platform', permission: 'platform.webhooks.replay' },
      rateClass: 'ops',
      summary,
      audit: `webhooks.${verb}`,
      body: selector,
      errors: ['selector_required'],
      responses: { 200: outcome },
      handle: async ({ actor, body, signal }) => ({
        status: 200,
        body: await requeueEvents(db, {
          verb,
          filter: {
            ids: body.ids,
            provider: body.provider,
            type: body.type,
            tenantId: body.tenant_id,
            since: date(body.since),
            until: date(body.until),
          },
          limit: body.limit ?? 1_000,
          dryRun: body.dry_run ?? false,
          reason: body.reason,
          actor,
          signal,
        }),
      }),
    });

  return [
    route({
      id: LIST,
      method: 'GET',
      path: '/api/admin/webhooks',
      access: { kind: 'platform', permission: 'platform.webhooks.read' },
      rateClass: 'ops',
      summary: 'Stored provider events, newest first',
      query: z.object({
        ...listQuery,
        state: z.enum(EVENT_STATES).optional(),
        provider: name.optional(),
        type: name.optional(),
        tenant_id: name.optional(),
        object_id: name.optional(),
        since: instant.optional(),
        until: instant.optional(),
      }),
      responses: { 200: listOf(event) },
      handle: async ({ query }) => {
        const [before = null] = query.cursor === undefined ? [] : decodeCursor(query.cursor, LIST);
        const rows = await listEvents(
          db,
          {
            states: query.state === undefined ? undefined : [query.state],
            provider: query.provider,
            type: query.type,
            tenantId: query.tenant_id,
            objectId: query.object_id,
            since: date(query.since),
            until: date(query.until),
          },
          { before: before === null ? null : String(before), limit: query.limit + 1 },
        );
        const data = rows.slice(0, query.limit);
        const last = data.at(-1);
        return {
          status: 200,
          body: { data, next_cursor: rows.length > query.limit && last ? encodeCursor([last.id], LIST) : null },
        };
      },
    }),
    route({
      id: 'admin.webhooks.show',
      method: 'GET',
      path: '/api/admin/webhooks/:id',
      access: { kind: 'platform', permission: 'platform.webhooks.read' },
      rateClass: 'ops',
      summary: 'One stored provider event, by our id',
      params: z.object({ id: name }),
      responses: { 200: event },
      handle: async ({ params }) => {
        const found = (await showEvents(db, params.id)).find((one) => one.id === params.id);
        if (!found) throw fail.notFound();
        return { status: 200, body: found };
      },
    }),
    requeue('replay', 'Handle events again that ended well'),
    requeue('redrive', 'Handle events again that were given up'),
  ];
}
