import { z } from 'zod';
import { route } from '../../../services/api/deps.ts';
import { createWorld, effect, startTestApi, type TestApi, type World } from './fixture.ts';

/** What a test tells the handlers to do, and what it saw them do. */
export const told = {
  gate: undefined as Promise<void> | undefined,
  failure: undefined as Error | undefined,
  runs: 0,
  signal: undefined as AbortSignal | undefined,
  beforeComplete: undefined as (() => Promise<unknown>) | undefined,
};

const body = z.object({ item: z.string() });
const answer = z.object({ id: z.string(), item: z.string() });

const routes = [
  route({
    id: 'test.buy',
    method: 'POST',
    path: '/api/test/buy',
    access: { kind: 'tenant', permission: 'orders.place' },
    rateClass: 'billing',
    summary: 'Buy',
    body,
    responses: { 201: answer },
    idempotent: true,
    audit: 'test.buy',
    async handle({ tx, body, signal }) {
      told.runs++;
      told.signal = signal;
      const id = await effect(tx);
      await told.gate;
      await told.beforeComplete?.();
      if (told.failure !== undefined) throw told.failure;
      return { status: 201, body: { id, item: body.item } };
    },
  }),
  route({
    id: 'test.buy_in_steps',
    method: 'POST',
    path: '/api/test/steps',
    access: { kind: 'tenant', permission: 'orders.place' },
    rateClass: 'billing',
    summary: 'Buy with a provider between',
    body,
    responses: { 201: answer },
    idempotent: true,
    steps: true,
    audit: 'test.buy',
    async handle({ withTx, finish, body }) {
      told.runs++;
      await withTx(async () => undefined);
      await told.gate;
      return finish(async (tx) => ({ status: 201, body: { id: await effect(tx), item: body.item } }));
    },
  }),
];

export interface Bought {
  status: number;
  text: string;
  json: Record<string, string>;
  headers: Headers;
}

/** Pods on one database, and a person who buys. */
export interface Shop {
  world: World;
  api: TestApi;
  other: TestApi;
  /** A pod that waits 0.3 s for another request's answer; the others wait longer than any test. */
  hurried: TestApi;
  newKey(): string;
  buy(
    key: string,
    options?: { at?: TestApi; item?: string; person?: string; path?: string; signal?: AbortSignal; body?: string },
  ): Promise<Bought>;
  /** How many effects there are. */
  effects(): Promise<number>;
  /** As if every owner had died 35 s ago. */
  expireLeases(): Promise<unknown>;
  close(): Promise<void>;
}

export async function startShop(): Promise<Shop> {
  const world = await createWorld();
  const pod = (waitMs: number) => startTestApi(world, routes, { idempotency: { waitMs, leaseMs: 60_000, pollMs: 20 } });
  const [api, other, hurried] = await Promise.all([pod(15_000), pod(15_000), pod(300)]);
  const buyer = await world.person();
  let keys = 0;
  return {
    world,
    api,
    other,
    hurried,
    newKey: () => `key ${++keys}`,
    async buy(key, { at = api, item = 'course', person = buyer, path = 'buy', signal, body } = {}) {
      const response = await fetch(`${at.url}/api/test/${path}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${person}`,
          'klar-tenant': world.slug,
          'content-type': 'application/json',
          'idempotency-key': key,
        },
        body: body ?? JSON.stringify({ item }),
        ...(signal ? { signal } : {}),
      });
      const text = await response.text();
      return { status: response.status, text, json: JSON.parse(text), headers: response.headers };
    },
    async effects() {
      const [row] = await world.database.asSuperuser<{ n: number }>('select count(*)::int as n from app.test_effects');
      return row?.n ?? 0;
    },
    expireLeases: () =>
      world.database.asSuperuser(
        "update app.idempotency_keys set lease_until = now() - interval '1 s' where lease_until is not null",
      ),
    async close() {
      await api.close();
      await other.close();
      await hurried.close();
      await world.database.close();
    },
  };
}
