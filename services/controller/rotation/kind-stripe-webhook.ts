import type { Clock } from '#platform/clock/index.ts';
import { type KindAdapter, type StepInput, Unproven } from './kind.ts';
import { callStripe, listStripe, type StripeAccess, type StripeCall, StripeRefusal } from './stripe-call.ts';
import { createUndelivered, sendSigned } from './stripe-undelivered.ts';

/** Its key may write webhook endpoints and read events, and nothing else. */
export type StripeWebhookInput = StripeAccess & {
  clock: Clock;
  /** Where our events arrive, as Stripe knows it. */
  webhookUrl: string;
  /** Where we send one ourselves; absent: there. */
  probeUrl?: string | undefined;
};

type Endpoint = {
  id: string;
  url: string;
  status: string;
  enabled_events: string[];
  api_version: string | null;
  metadata: Record<string, string>;
  secret?: string;
};

/** Metadata: which rotation made an endpoint, and which one switched it off. */
const MADE = 'klar_rotation';
const DISABLED = 'klar_disabled_by';
/**
 * An event that we never have: Stripe cannot make an endpoint that is switched off, and one that sends before every pod
 * knows its secret would be refused.
 */
const QUIET = 'topup.canceled';
/**
 * For so long a creation carries the same key, so that a kill in it does not make a second endpoint. Then another one: under
 * the same key Stripe would repeat a failure, or an endpoint that was deleted since, for a day.
 */
const SAME_KEY_MS = 600_000;

/**
 * STRIPE_WEBHOOK_SECRET: a second endpoint with the same address and a secret of its own. While both are there each event
 * comes twice, and is stored once. https://docs.stripe.com/webhooks#roll-endpoint-secrets
 */
export function stripeWebhookKind(input: StripeWebhookInput): KindAdapter {
  const { apiKey, apiBase, webhookUrl, probeUrl = webhookUrl, clock } = input;
  const access = { apiKey, apiBase };
  const { handOver, mayRead } = createUndelivered({ ...access, url: probeUrl, clock });

  const call = <T>({ signal }: StepInput, method: StripeCall['method'], path: string, more: Partial<StripeCall> = {}) =>
    callStripe<T>(access, { method, path, signal, ...more });

  /** Every endpoint with our address. */
  async function ours({ signal }: StepInput): Promise<Endpoint[]> {
    const found: Endpoint[] = [];
    for await (const page of listStripe<Endpoint>(access, { path: '/v1/webhook_endpoints', signal }))
      found.push(...page);
    return found.filter(({ url }) => url === webhookUrl);
  }

  const remove = (at: StepInput, { id }: Endpoint) => call(at, 'DELETE', `/v1/webhook_endpoints/${id}`);
  const change = (at: StepInput, { id }: Endpoint, fields: Record<string, string>) =>
    call(at, 'POST', `/v1/webhook_endpoints/${id}`, { fields });

  const isNew = (at: StepInput, { metadata }: Endpoint) => metadata[MADE] === at.rotation.id;
  const eventsOf = (names: readonly string[]) =>
    Object.fromEntries([...new Set(names)].map((name, i) => [`enabled_events[${i}]`, name]));

  /** What we want to be told, as the endpoints have it. */
  function eventsIn(endpoints: readonly Endpoint[]): string[] {
    const names = endpoints.flatMap(({ enabled_events }) => enabled_events).filter((name) => name !== QUIET);
    return names.includes('*') ? ['*'] : [...new Set(names)];
  }

  /** The endpoint of this rotation, at work. Without it nothing may be taken from the one of before. */
  function requireNew(at: StepInput, all: readonly Endpoint[]): Endpoint {
    const made = all.find((one) => isNew(at, one) && one.status === 'enabled');
    if (made !== undefined) return made;
    const id = all.find((one) => isNew(at, one))?.id;
    throw new Error(
      `the endpoint of the new secret is ${id ? `disabled at Stripe: enable ${id} there` : 'gone from Stripe'}; or end this with klar rotate ${at.name} --rollback`,
    );
  }

  /** Whether our own ingest takes what is signed with it. The body is no event, so nothing is stored either way. */
  async function taken(secret: string, signal: AbortSignal): Promise<boolean> {
    const { code, status } = await sendSigned(probeUrl, secret, '{}', signal);
    if (status === 400 && code === 'malformed_body') return true;
    if (status === 400 && code === 'bad_signature') return false;
    throw new Error(`${new URL(probeUrl).pathname} answers ${status} ${code}`);
  }

  /** Tells its secret once, in this answer. */
  async function create(at: StepInput, like: Endpoint): Promise<Endpoint> {
    const attempt = Math.floor((clock.now().getTime() - at.rotation.stepSince.getTime()) / SAME_KEY_MS);
    const wayOut = `a fresh attempt follows within 10 minutes; klar rotate ${at.name} --rollback ends it`;
    const fields = {
      url: webhookUrl,
      description: 'Klar',
      [`metadata[${MADE}]`]: at.rotation.id,
      ...(like.api_version ? { api_version: like.api_version } : {}),
      'enabled_events[0]': QUIET,
    };
    const made = await call<Endpoint>(at, 'POST', '/v1/webhook_endpoints', {
      fields,
      idempotencyKey: `${at.key}/${attempt}`,
    }).catch((error: Error) => {
      throw new Error(`${error.message}; ${wayOut}`);
    });
    await call(at, 'GET', `/v1/webhook_endpoints/${made.id}`).catch((error: Error) => {
      if (!(error instanceof StripeRefusal) || error.status !== 404) throw error;
      throw new Error(`the new endpoint was deleted at Stripe since it was made; ${wayOut}`);
    });
    return made;
  }

  return {
    async provision(at) {
      const all = await ours(at);
      const mine = all.filter((one) => isNew(at, one));
      // Kept already: another endpoint would be one that nobody can check.
      if (at.values.next !== undefined && mine.length > 0) return undefined;
      const like = all.find((one) => one.status === 'enabled' && !isNew(at, one));
      if (like === undefined) throw new Error(`Stripe has no endpoint that is enabled with the address ${webhookUrl}`);
      // Before anything is made: a key without the right to read events could not end what begins here.
      await mayRead(at);
      const made = await create(at, like);
      for (const stray of mine) if (stray.id !== made.id) await remove(at, stray);
      if (!made.secret) throw new Error('Stripe did not tell the secret of the new endpoint');
      return made.secret;
    },
    async test(at) {
      requireNew(at, await ours(at));
      if (!(await taken(at.to ?? '', at.signal)))
        throw new Error('our ingest refuses what is signed with the new secret');
    },
    // The new one first: in between each event comes twice, and is stored once. The old ones off and not deleted: going back
    // switches them on again.
    async activated(at) {
      const all = await ours(at);
      const made = requireNew(at, all);
      const old = all.filter(
        (one) => !isNew(at, one) && (one.status === 'enabled' || one.metadata[DISABLED] === at.rotation.id),
      );
      const events = eventsIn([made, ...old]);
      if (events.length === 0) {
        throw new Error(
          `no endpoint with our address says which events are wanted: choose them for ${made.id} at Stripe, or end this with klar rotate ${at.name} --rollback`,
        );
      }
      await change(at, made, eventsOf(events));
      await handOver(at, at.to ?? '', events);
      for (const one of old) {
        if (one.status !== 'enabled') continue;
        await change(at, one, { disabled: 'true', [`metadata[${DISABLED}]`]: at.rotation.id });
      }
    },
    // What was on its way while the endpoints changed places.
    drain: async (at) => handOver(at, at.values.current.value, eventsIn(await ours(at))),
    async reverted(at) {
      if (!at.rotation.wasActive) return;
      const all = await ours(at);
      const mine = all.filter((one) => isNew(at, one));
      const old = all.filter(
        (one) => !isNew(at, one) && (one.status === 'enabled' || one.metadata[DISABLED] === at.rotation.id),
      );
      if (old.length === 0) {
        throw new Error(
          `the endpoint of before is gone from Stripe: make one with the address ${webhookUrl}, and put its secret in the place of ${at.name} by hand`,
        );
      }
      for (const one of old) {
        if (one.metadata[DISABLED] !== at.rotation.id) continue;
        await change(at, one, { disabled: 'false', [`metadata[${DISABLED}]`]: '' });
      }
      await handOver(at, at.from, eventsIn([...old, ...mine]));
      for (const one of mine) await change(at, one, eventsOf([QUIET]));
    },
    async retire(at) {
      const all = await ours(at);
      await handOver(at, at.to ?? '', eventsIn(all));
      for (const one of all) if (one.metadata[DISABLED] === at.rotation.id) await remove(at, one);
    },
    async withdraw(at) {
      const all = await ours(at);
      if (at.rotation.wasActive) await handOver(at, at.from, eventsIn(all));
      for (const one of all) if (isNew(at, one)) await remove(at, one);
    },
    async prove(at) {
      if (await taken(at.from, at.signal)) throw new Unproven('our ingest takes what is signed with the old secret');
      if (!(await taken(at.to ?? '', at.signal))) throw new Unproven('our ingest refuses the new secret');
      // One that is disabled sends nothing.
      const others = (await ours(at)).filter((one) => !isNew(at, one) && one.status === 'enabled');
      if (others.length === 0) return;
      const ids = others.map(({ id }) => id).join(', ');
      throw new Unproven(
        `Stripe has other endpoints with our address, whose events we refuse: delete or disable ${ids} there, and this rotation ends`,
      );
    },
  };
}
