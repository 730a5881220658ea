import express, { type Request, type Response, Router } from 'express';
import { returnUrl } from '../checkout/checkout-page.ts';
import type { Faults } from '../faults.ts';
import { STYLE } from '../pages/style.ts';
import type { RequestsLog } from '../requests-log.ts';
import { deliveriesOf } from '../stripe/api/events.ts';
import { closeDispute, openDispute } from '../stripe/dispute.ts';
import { expireSession, passTime } from '../stripe/session-expiry.ts';
import { settleSession } from '../stripe/session-payment.ts';
import type { World } from '../stripe/world.ts';
import type { Deliverer } from '../webhooks/deliverer.ts';
import { DOUBLE_PAYS, doublePay } from './double-pay.ts';
import { payByScript } from './pay-by-script.ts';

export type ControlInput = { world: World; faults: Faults; requests: RequestsLog; deliverer: Deliverer };

/** What tests and scripts command the sandbox by: JSON under /sandbox. */
export function controlApp({ world, faults, requests, deliverer }: ControlInput): Router {
  const router = Router();
  const json = express.json({ limit: '64kb', type: () => true });
  const { store } = world;

  router.get('/sandbox/style.css', (_request, response) => {
    response.set('Cache-Control', 'max-age=60').type('css').send(STYLE);
  });
  // A page elsewhere must not command the sandbox of a developer who happens to visit it.
  router.use('/sandbox', (request, response, next) => {
    if (request.method !== 'GET' && request.get('sec-fetch-site') === 'cross-site') {
      return void response.status(403).json({ error: 'commands from other sites are refused' });
    }
    next();
  });

  router.post('/sandbox/faults', json, (request, response) => {
    const added = faults.add(request.body);
    response.status('error' in added ? 400 : 201).json(added);
  });
  router.get('/sandbox/faults', (_request, response) => void response.json({ data: faults.list() }));
  router.delete(['/sandbox/faults', '/sandbox/faults/:id'], (request: Request<{ id?: string }>, response) => {
    faults.clear(request.params.id);
    response.json({ data: faults.list() });
  });

  router.get('/sandbox/requests', (request, response) => {
    const { path, method } = request.query as { path?: string; method?: string };
    response.json({ data: requests.list({ ...(path ? { path } : {}), ...(method ? { method } : {}) }) });
  });
  router.delete('/sandbox/requests', (_request, response) => {
    requests.clear();
    response.json({ deleted: true });
  });

  router.get('/sandbox/events', (request, response) => {
    const { type } = request.query;
    const records = store.all('events').filter((record) => !type || record.event.type === type);
    response.json({
      data: records.map((record) => ({ ...record, deliveries: deliveriesOf(store, record.id) })),
    });
  });
  router.post('/sandbox/events/:id/resend', (request, response) => {
    const found = deliverer.resend(request.params.id);
    if (!found) return notFound(response, 'event');
    if (request.accepts(['json', 'html']) === 'html') return response.redirect(303, '/');
    response.status(202).json({ resent: request.params.id });
  });

  const session = (request: Request<{ id: string }>, response: Response) => {
    passTime(world);
    const record = store.get('sessions', request.params.id.split('_secret_')[0] ?? '');
    if (!record) notFound(response, 'session');
    return record;
  };
  const showSession = (response: Response, id: string, extra: object = {}) => {
    const current = store.get('sessions', id)?.session;
    response.json({ ...extra, session: current, redirect_to: current ? returnUrl(current) : null });
  };
  router.post('/sandbox/checkout/:id/pay', json, (request, response) => {
    const record = session(request, response);
    if (!record) return;
    const result = payByScript(world, record, request.body ?? {});
    if ('error' in result) return void response.status(400).json(result);
    showSession(response, record.id, result);
  });
  router.post('/sandbox/checkout/:id/settle', json, (request, response) => {
    const record = session(request, response);
    if (!record) return;
    const settled = settleSession(world, record.id, request.body?.succeeds !== false);
    if (!settled) return void response.status(409).json({ error: 'this session waits for no delayed payment' });
    showSession(response, record.id);
  });
  router.post('/sandbox/checkout/:id/expire', (request, response) => {
    const record = session(request, response);
    if (!record) return;
    if (record.session.status === 'open') expireSession(world, record);
    showSession(response, record.id);
  });
  router.post('/sandbox/double-pay/:id', json, (request, response) => {
    const record = session(request, response);
    if (!record) return;
    const as = DOUBLE_PAYS.find((known) => known === (request.body?.as ?? 'same_session'));
    if (!as) return void response.status(400).json({ error: `as must be one of ${DOUBLE_PAYS.join(', ')}` });
    response.json(doublePay(world, record, as));
  });
  router.post('/sandbox/charges/:id/dispute', (request, response) => {
    const dispute = openDispute(world, request.params.id);
    if (!dispute)
      return void response.status(409).json({ error: 'only a succeeded, undisputed charge can be disputed' });
    response.status(201).json(dispute);
  });
  router.post('/sandbox/disputes/:id/close', json, (request, response) => {
    const closed = closeDispute(world, request.params.id, request.body?.outcome === 'won' ? 'won' : 'lost');
    if (!closed) return void response.status(409).json({ error: 'no such open dispute' });
    response.json(closed);
  });

  router.get('/sandbox/clock', (_request, response) => {
    response.json({ now: new Date(world.clock.nowMs()).toISOString(), unix: world.clock.unix() });
  });
  router.post('/sandbox/clock', json, (request, response) => {
    const seconds = Number(request.body?.advance_s);
    if (!Number.isFinite(seconds) || seconds < 0) {
      return void response.status(400).json({ error: 'advance_s must be a number of seconds, 0 or more' });
    }
    world.clock.advance(seconds * 1000);
    world.lookedAt = 0;
    const changed = passTime(world);
    response.json({ now: new Date(world.clock.nowMs()).toISOString(), changed });
  });
  router.post('/sandbox/idle', (_request, response) => {
    void deliverer.idle().then(() => response.json({ idle: true }));
  });
  router.post('/sandbox/reset', (_request, response) => {
    deliverer.forget();
    store.clear();
    faults.clear();
    requests.clear();
    response.json({ reset: true });
  });

  return router;
}

function notFound(response: Response, what: string): void {
  response.status(404).json({ error: `no such ${what}` });
}
