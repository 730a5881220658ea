import { z } from 'zod';
import {
  createService,
  getService,
  listServices,
  type Money,
  pricesOf,
  SERVICE_STATUSES,
  type Service,
  setPrice,
  updateService,
} from '#domain/sales/index.ts';
import { heldBy, type Principal, type Role } from '#domain/tenancy/index.ts';
import { listOf, listQuery, type Route, text } from '#platform/http/index.ts';
import { type ApiDeps, route } from '../deps.ts';
import { moneyAnswer, moneyField } from '../money.ts';
import { cursorOf, idParams, pageOf } from '../page.ts';
import { orderRoutes } from './orders.ts';

const status = z.enum(SERVICE_STATUSES);
const title = text({ max: 200 });
const description = text({ min: 0, max: 10_000 });
const duration = z.int().min(1).max(1440);

const serviceAnswer = z.object({
  id: z.string(),
  title: z.string(),
  description: z.string(),
  duration_minutes: z.int(),
  price: moneyAnswer.nullable(),
  status,
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
});

const serviceView = (service: Service, price: Money | undefined) => ({
  id: service.id,
  title: service.title,
  description: service.description,
  duration_minutes: service.duration_minutes,
  price: price ?? null,
  status: service.status,
  created_at: service.created_at.toISOString(),
  updated_at: service.updated_at.toISOString(),
});

const isStaff = (principal: Principal, role: Role | undefined) => heldBy(principal, role).includes('services.write');

/** Bookable services and orders. */
export function salesRoutes(deps: ApiDeps): Route[] {
  return [...serviceRoutes(), ...orderRoutes(deps)];
}

function serviceRoutes(): Route[] {
  return [
    route({
      id: 'services.list',
      method: 'GET',
      path: '/api/services',
      access: { kind: 'tenant', permission: 'services.read' },
      rateClass: 'read',
      summary: 'Bookable services, newest first; drafts only for who writes services',
      query: z.object(listQuery),
      responses: { 200: listOf(serviceAnswer) },
      handle: async ({ tx, principal, role, query }) => {
        const before = cursorOf(query.cursor, 'services.list');
        const services = await listServices(tx, { staff: isStaff(principal, role), before, limit: query.limit + 1 });
        const prices = await pricesOf(
          tx,
          'service',
          services.map((service) => service.id),
        );
        const view = (service: Service) => serviceView(service, prices.get(service.id));
        return { status: 200, body: pageOf(services, query.limit, 'services.list', { key: (s) => s.id, view }) };
      },
    }),
    route({
      id: 'services.create',
      method: 'POST',
      path: '/api/services',
      access: { kind: 'tenant', permission: 'services.write' },
      rateClass: 'write',
      summary: 'Make a bookable service; a draft unless said',
      audit: 'services.create',
      body: z.object({
        title,
        description: description.optional(),
        duration_minutes: duration,
        price: moneyField.optional(),
        status: status.optional(),
      }),
      responses: { 201: serviceAnswer },
      handle: async ({ tx, body, actor }) => {
        const { price, duration_minutes: durationMinutes, ...rest } = body;
        const service = await createService(tx, { ...rest, durationMinutes, actor });
        if (price !== undefined) await setPrice(tx, { kind: 'service', itemId: service.id, price, actor });
        return { status: 201, body: serviceView(service, price) };
      },
    }),
    route({
      id: 'services.show',
      method: 'GET',
      path: '/api/services/:id',
      access: { kind: 'tenant', permission: 'services.read' },
      rateClass: 'read',
      summary: 'One bookable service',
      params: idParams,
      responses: { 200: serviceAnswer },
      handle: async ({ tx, params, principal, role }) => {
        const service = await getService(tx, { id: params.id, staff: isStaff(principal, role) });
        const prices = await pricesOf(tx, 'service', [service.id]);
        return { status: 200, body: serviceView(service, prices.get(service.id)) };
      },
    }),
    route({
      id: 'services.update',
      method: 'PATCH',
      path: '/api/services/:id',
      access: { kind: 'tenant', permission: 'services.write' },
      rateClass: 'write',
      summary: 'Change a service; a price of null takes it off sale, orders placed before keep theirs',
      audit: 'services.update',
      params: idParams,
      body: z.object({
        title: title.optional(),
        description: description.optional(),
        duration_minutes: duration.optional(),
        price: moneyField.nullable().optional(),
        status: status.optional(),
      }),
      responses: { 200: serviceAnswer },
      handle: async ({ tx, params, body, actor }) => {
        const { price, duration_minutes: durationMinutes, ...patch } = body;
        const service = await updateService(tx, { id: params.id, ...patch, durationMinutes, actor });
        if (price !== undefined) await setPrice(tx, { kind: 'service', itemId: service.id, price, actor });
        const prices = await pricesOf(tx, 'service', [service.id]);
        return { status: 200, body: serviceView(service, prices.get(service.id)) };
      },
    }),
  ];
}
