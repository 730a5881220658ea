import express, { type Response, Router } from 'express';
import { html } from '../html.ts';
import { messagePage, pageHeaders } from '../pages/layout.ts';
import type { MethodType, SessionRecord } from '../records.ts';
import { bookCharge } from '../stripe/charge.ts';
import { money } from '../stripe/currency.ts';
import { failIntent, succeedIntent } from '../stripe/intent.ts';
import { passTime } from '../stripe/session-expiry.ts';
import { AUTHENTICATION_FAILED, finishStep, paySession } from '../stripe/session-payment.ts';
import type { World } from '../stripe/world.ts';
import { checkoutPage, returnUrl } from './checkout-page.ts';
import { receiptPage } from './receipt-page.ts';
import { intentStepPage, stepPage } from './step-page.ts';

const DECISIONS = ['approve', 'approve_fails_later', 'refuse'] as const;
const METHODS: readonly MethodType[] = ['card', 'klarna', 'paypal'];

/** The checkout page at a session's `url`; other ui modes are reached at the same path, or by their client secret. */
export function checkoutApp(world: World): Router {
  const router = Router();
  const form = express.urlencoded({ extended: false, limit: '32kb' });

  const find = (given: unknown, response: Response): SessionRecord | undefined => {
    passTime(world);
    const record = world.store.get('sessions', String(given).split('_secret_')[0] ?? '');
    if (!record) {
      const page = messagePage('No such checkout', html`<p>This link is wrong, or the sandbox was reset.</p>`);
      response.status(404).set(pageHeaders()).type('html').send(page);
    }
    return record;
  };
  const headers = ({ session }: SessionRecord) => pageHeaders([session.success_url, session.return_url]);
  const onward = (response: Response, id: string, status: string) => {
    const session = world.store.get('sessions', id)?.session;
    const next = session && (status === 'succeeded' || status === 'processing') ? returnUrl(session) : null;
    response.redirect(303, status === 'requires_action' ? `/c/pay/${id}/step` : (next ?? `/c/pay/${id}`));
  };

  router.get('/c/pay/:id', (request, response) => {
    const record = find(request.params.id, response);
    if (!record) return;
    if (record.step && record.session.status === 'open') return response.redirect(303, `/c/pay/${record.id}/step`);
    const intent = world.store.get('intents', String(record.session.payment_intent));
    response.set(headers(record)).type('html').send(checkoutPage(record, intent));
  });

  router.post('/c/pay/:id', form, (request, response) => {
    const record = find(request.params.id, response);
    if (!record) return;
    const { method, test_card, card_number, email, name } = (request.body ?? {}) as Record<string, string | undefined>;
    const chosen = test_card ? 'card' : METHODS.find((known) => known === method && offers(record, known));
    const result = paySession(world, record.id, {
      method: chosen ?? 'card',
      card: test_card ?? card_number ?? '',
      payer: { email: email || null, name: name || null, country: null },
    });
    onward(response, record.id, result.status);
  });

  router.get('/c/pay/:id/step', (request, response) => {
    const record = find(request.params.id, response);
    if (!record) return;
    if (!record.step || record.session.status !== 'open') return response.redirect(303, `/c/pay/${record.id}`);
    response.set(headers(record)).type('html').send(stepPage(record, record.step.kind));
  });

  router.post('/c/pay/:id/step', form, (request, response) => {
    const record = find(request.params.id, response);
    if (!record) return;
    const decision = DECISIONS.find((known) => known === request.body?.decision) ?? 'refuse';
    onward(response, record.id, finishStep(world, record.id, decision).status);
  });

  router.get('/c/intent/:id/step', (request, response) => {
    const intent = world.store.get('intents', request.params.id);
    const page =
      intent?.status === 'requires_action'
        ? intentStepPage(intent.id, money(intent.amount, intent.currency))
        : messagePage('Nothing to do', html`<p>This payment waits for nothing.</p>`);
    response.set(pageHeaders()).type('html').send(page);
  });

  router.post('/c/intent/:id/step', form, (request, response) => {
    const intent = world.store.get('intents', request.params.id);
    const method = intent && world.store.get('methods', String(intent.payment_method));
    if (intent?.status === 'requires_action' && method) {
      if (request.body?.decision === 'approve') {
        bookCharge(world, succeedIntent(world, intent, method, { authenticated: true }).chargeId);
      } else failIntent(world, intent, method, AUTHENTICATION_FAILED, { charge: false });
    }
    response.redirect(303, `/c/intent/${request.params.id}/step`);
  });

  router.get('/receipts/:id', (request, response) => {
    const charge = world.store.get('charges', request.params.id);
    const page = charge
      ? receiptPage(charge)
      : messagePage('No such receipt', html`<p>The sandbox has no such charge.</p>`);
    response
      .status(charge ? 200 : 404)
      .set(pageHeaders())
      .type('html')
      .send(page);
  });

  return router;
}

const offers = ({ session }: SessionRecord, method: string) => session.payment_method_types.includes(method);
