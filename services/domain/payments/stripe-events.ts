import { z } from 'zod';
import { type EventHandler, eventHandler } from '#domain/webhooks/index.ts';
import { createContext, type PaymentsDeps } from './deps.ts';
import { report } from './incident-service.ts';
import { sight } from './look-service.ts';
import { record, type Sighting } from './record-service.ts';
import { followRefund } from './refund-service.ts';
import { type AttemptRow, attemptByObject } from './store/attempts.ts';

/**
 * Every event is only a hint that something changed: its handler fetches the session and takes over what it is now.
 * So the order of events, their number, and the copy of the object that they carry do not matter.
 */
const EVENT_TYPES = [
  'checkout.session.completed',
  'checkout.session.async_payment_succeeded',
  'checkout.session.async_payment_failed',
  'checkout.session.expired',
  'payment_intent.payment_failed',
  'charge.refunded',
  'refund.updated',
  'refund.failed',
] as const;

const ACTOR = { kind: 'system', id: 'stripe' } as const;

const reference = z.union([z.string(), z.object({ id: z.string() }).transform((object) => object.id)]).nullish();
const payloadSchema = z.object({
  data: z.object({
    object: z.object({ id: z.string(), object: z.string(), payment_intent: reference, charge: reference }),
  }),
});

interface Subject {
  sessionId?: string | undefined;
  paymentIntentId?: string | undefined;
  /** All ids of the event that may be known to us, best first. */
  ids: string[];
}

/** What an event is about; undefined for a payload of another shape. */
function subjectOf(payload: unknown): Subject | undefined {
  const parsed = payloadSchema.safeParse(payload);
  if (!parsed.success) return undefined;
  const { id, object, payment_intent, charge } = parsed.data.data.object;
  const paymentIntentId = object === 'payment_intent' ? id : (payment_intent ?? undefined);
  const ids = [id, paymentIntentId, charge].filter((value) => value != null);
  return { ids, paymentIntentId, sessionId: object === 'checkout.session' ? id : undefined };
}

interface Prepared {
  attempt: AttemptRow;
  sighting: Sighting | undefined;
}

/** The worker's handlers for Stripe's events, one per type. */
export function stripeEventHandlers(deps: PaymentsDeps): EventHandler[] {
  const context = createContext(deps);
  const { gateway } = deps;
  return EVENT_TYPES.map((type) =>
    eventHandler<Prepared>({
      provider: 'stripe',
      type,
      objectIds: (payload) => subjectOf(payload)?.ids ?? [],
      prepare: async (event, { signal, withTenantTx }) => {
        const subject = subjectOf(event.payload);
        const { provider, account } = event;
        const attempt = await withTenantTx((tx) => attemptByObject(tx, { ...subject, provider, account }));
        // The map said that this tenant owns the object, so our row is there or about to be: try again.
        if (attempt === undefined) throw new Error(`no attempt for ${subject?.ids.join(', ')}`);
        // An event of the other mode is about no money of ours; its object cannot even be fetched with our key.
        if (event.livemode !== null && event.livemode !== gateway.livemode) return { attempt, sighting: undefined };
        return { attempt, sighting: await sight(context, { attempt, signal }) };
      },
      apply: async (tx, event, { attempt, sighting }) => {
        if (sighting !== undefined) {
          const outcome = await record(context, tx, { ...sighting, actor: ACTOR });
          if (outcome === 'done' && type.startsWith('refund.')) await followRefund(tx, attempt.id);
          return outcome;
        }
        await report(context, tx, {
          kind: 'mismatch',
          attempt,
          actor: ACTOR,
          fact: 'event_livemode',
          details: { fields: ['livemode'], event_id: event.eventId, livemode: event.livemode },
        });
        return 'done';
      },
    }),
  );
}
