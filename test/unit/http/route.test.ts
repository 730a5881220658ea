import assert from 'node:assert/strict';
import { z } from 'zod';
import type { TenantTx } from '#platform/db/index.ts';
import { createRegistry, type Route } from '#platform/http/index.ts';
import { route } from '../../../services/api/deps.ts';

const ok = z.object({ id: z.string() });

const good = () =>
  route({
    id: 'things.show',
    method: 'GET',
    path: '/api/things/:id',
    access: { kind: 'tenant', permission: 'courses.read' },
    rateClass: 'read',
    summary: 'Show a thing',
    params: z.object({ id: z.string() }),
    responses: { 200: ok },
    handle: async ({ params }) => ({ status: 200, body: { id: params.id } }),
  });

describe('route()', () => {
  it('does not compile without access, with an unknown permission, without an audit action, or with a wrong answer', () => {
    const base = {
      id: 'things.make',
      method: 'POST',
      path: '/api/things',
      rateClass: 'write',
      summary: 'Make a thing',
      responses: { 201: ok },
    } as const;
    const access = { kind: 'tenant', permission: 'courses.write' } as const;
    const audit = 'things.make';
    const handle = async () => ({ status: 201, body: { id: 'x' } }) as const;
    route({ ...base, access, audit, handle });
    // @ts-expect-error who may call is not said
    route({ ...base, audit, handle });
    // @ts-expect-error no such permission
    route({ ...base, access: { kind: 'tenant', permission: 'courses.steal' }, audit, handle });
    // @ts-expect-error a change without an audit action
    route({ ...base, access, handle });
    // @ts-expect-error no audit action and no reason for that
    route({ ...base, access, audit: null, handle });
    route({ ...base, access, audit: null, auditReason: 'changes nothing', handle });
    // @ts-expect-error a status that is not declared
    route({ ...base, access, audit, handle: async () => ({ status: 200, body: { id: 'x' } }) });
    // @ts-expect-error a body that is not the declared one
    route({ ...base, access, audit, handle: async () => ({ status: 201, body: { id: 1 } }) });
    // @ts-expect-error keys belong to a tenant
    route({ ...base, access: { kind: 'public' }, audit, idempotent: true, handle });
    const useTx = async ({ tx }: { tx: TenantTx }) => ({ status: 201, body: { id: tx.tenantId } }) as const;
    route({ ...base, access, audit, handle: useTx });
    // @ts-expect-error a public route has no transaction
    route({ ...base, access: { kind: 'public' }, audit, handle: useTx });
    // @ts-expect-error with steps there is no open transaction
    route({ ...base, access, audit, steps: true, handle: useTx });
  });

  it('makes bodies, queries and params strict', () => {
    const made = route({
      id: 'things.make',
      method: 'POST',
      path: '/api/things',
      access: { kind: 'public' },
      rateClass: 'write',
      summary: 'Make a thing',
      body: z.object({ name: z.string() }),
      responses: { 201: ok },
      audit: 'things.make',
      handle: async () => ({ status: 201, body: { id: 'x' } }),
    });
    assert.equal(made.body?.safeParse({ name: 'a', nmae: 'b' }).success, false);
  });
});

describe('createRegistry', () => {
  const refusal = (routes: Route[]) => {
    try {
      createRegistry(routes);
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };

  it('takes a good route', () => {
    assert.equal(createRegistry([good()])[0]?.path, '/api/things/:id');
  });
  it('puts literal segments before parameters', () => {
    const paths = ['/api/a/:id', '/api/a/b', '/api/a/:id/c', '/api/a/b/c'].map((path, i) => ({
      ...good(),
      id: `things.t${i}`,
      path,
      params: path.includes(':') ? z.object({ id: z.string() }) : undefined,
    })) as Route[];
    assert.deepEqual(
      createRegistry(paths).map(({ path }) => path),
      ['/api/a/b', '/api/a/b/c', '/api/a/:id', '/api/a/:id/c'],
    );
  });

  const bad: [string, Partial<Route>, RegExp][] = [
    ['an id without a module', { id: 'show' }, /module\.verb/],
    ['a path outside /api', { path: '/things/:id' }, /not a path below/],
    ['params that the path does not have', { path: '/api/things' }, /params declare \[id\]/],
    ['a GET with a body', { body: ok }, /GET has no body/],
    ['a change without audit', { method: 'POST' }, /audit/],
    ['no success answer', { responses: { 400: null } }, /no success/],
    ['idempotency outside a tenant', { access: { kind: 'person' }, idempotent: true }, /idempotent/],
  ];
  for (const [name, change, message] of bad) {
    it(`refuses ${name}`, () => {
      assert.match(refusal([{ ...good(), ...change }]), message);
    });
  }
  it('refuses an id used twice, and a method and path used twice under other parameter names', () => {
    assert.match(refusal([good(), { ...good(), path: '/api/others/:id' }]), /used twice/);
    const renamed = {
      ...good(),
      id: 'things.other',
      path: '/api/things/:thing',
      params: z.object({ thing: z.string() }),
    };
    assert.match(refusal([good(), renamed]), /is taken/);
  });
});
