import { createHmac } from 'node:crypto';
import { probe } from './http-probe.ts';
import { type KindAdapter, type StepInput, Unproven } from './kind.ts';

export type StripeWebhookInput = {
  /** A key that may write webhook endpoints and nothing else. */
  apiKey: () => string;
  apiBase: string;
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
const ANSWER_MS = 20_000;
const PAGE = 100;

/**
 * STRIPE_WEBHOOK_SECRET: a second endpoint with the same address and a secret of its own. While both are there each event
 * comes twice, and is stored once. https://docs.stripe.com/webhooks#roll-endpoint-secrets
 */
export function stripeWebhookKind({
  apiKey,
  apiBase,
  webhookUrl,
  probeUrl = webhookUrl,
}: StripeWebhookInput): KindAdapter {
  async function call<T>(
    { signal }: StepInput,
    method: string,
    path: string,
    fields: Record<string, string> = {},
    idempotencyKey?: string,
  ): Promise<T> {
    const body = new URLSearchParams(fields);
    const get = method === 'GET';
    const response = await fetch(`${apiBase}${path}${get && body.size > 0 ? `?${body}` : ''}`, {
      method,
      headers: {
        authorization: `Bearer ${apiKey()}`,
        ...(idempotencyKey ? { 'idempotency-key': idempotencyKey } : {}),
        ...(get ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
      },
      ...(get ? {} : { body: body.toString() }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    }).catch((error: Error & { cause?: { code?: string } }) => {
      throw new Error(`Stripe cannot be reached (${error.cause?.code ?? error.name})`);
    });
    // Its text may quote a key; the status says enough.
    if (!response.ok)
      throw new Error(`Stripe answers ${method} ${path.split('/').slice(0, 3).join('/')} with ${response.status}`);
    return (await response.json()) as T;
  }

  /** Every endpoint with our address. */
  async function ours(at: StepInput): Promise<Endpoint[]> {
    const found: Endpoint[] = [];
    for (let after = ''; ; ) {
      const fields = { limit: String(PAGE), ...(after ? { starting_after: after } : {}) };
      const page = await call<{ data: Endpoint[]; has_more: boolean }>(at, 'GET', '/v1/webhook_endpoints', fields);
      found.push(...page.data);
      if (!page.has_more || page.data.length === 0) break;
      after = page.data.at(-1)?.id ?? '';
    }
    return found.filter(({ url }) => url === webhookUrl);
  }

  const remove = (at: StepInput, { id }: Endpoint) => call(at, 'DELETE', `/v1/webhook_endpoints/${id}`);
  const change = (at: StepInput, { id }: Endpoint, fields: Record<string, string>) =>
    call(at, 'POST', `/v1/webhook_endpoints/${id}`, fields);

  const isNew = (at: StepInput, { metadata }: Endpoint) => metadata[MADE] === at.rotation.id;
  const eventsOf = (names: readonly string[]) =>
    Object.fromEntries([...new Set(names)].map((name, i) => [`enabled_events[${i}]`, name]));

  /** Whether our own ingest takes what is signed with it. The body is no event, so nothing is stored either way. */
  async function taken(secret: string, signal: AbortSignal): Promise<boolean> {
    const time = Math.floor(Date.now() / 1_000);
    const body = '{}';
    const digest = createHmac('sha256', secret).update(`${time}.${body}`).digest('hex');
    const headers = { 'content-type': 'application/json', 'stripe-signature': `t=${time},v1=${digest}` };
    const { code, status } = await probe(probeUrl, { method: 'POST', headers, body }, signal);
    if (status === 400 && code === 'malformed_body') return true;
    if (status === 400 && code === 'bad_signature') return false;
    throw new Error(`${new URL(probeUrl).pathname} answers ${status} ${code}`);
  }

  return {
    async provision(at) {
      const all = await ours(at);
      const mine = all.filter((one) => isNew(at, one));
      // Kept already: another endpoint would be one that nobody can check.
      if (at.values.next !== undefined && mine.length > 0) return undefined;
      const like = all.find((one) => one.status === 'enabled' && !isNew(at, one));
      if (like === undefined) throw new Error(`Stripe has no endpoint that is enabled with the address ${webhookUrl}`);
      const fields: Record<string, string> = {
        url: webhookUrl,
        description: 'Klar',
        [`metadata[${MADE}]`]: at.rotation.id,
        ...(like.api_version ? { api_version: like.api_version } : {}),
        'enabled_events[0]': QUIET,
      };
      // The secret is told once, in this answer; the key makes Stripe repeat the answer after a kill, for a day at least.
      const made = await call<Endpoint>(at, 'POST', '/v1/webhook_endpoints', fields, at.key);
      for (const stray of mine) if (stray.id !== made.id) await remove(at, stray);
      if (!made.secret) throw new Error('Stripe did not tell the secret of the new endpoint');
      return made.secret;
    },
    async test({ to = '', signal }) {
      if (!(await taken(to, signal))) throw new Error('our ingest refuses what is signed with the new secret');
    },
    // The new one first: in between each event comes twice, and is stored once. The old ones off and not deleted: going back
    // switches them on again.
    async activated(at) {
      const all = await ours(at);
      const old = all.filter(
        (one) => !isNew(at, one) && (one.status === 'enabled' || one.metadata[DISABLED] === at.rotation.id),
      );
      for (const one of all)
        if (isNew(at, one)) await change(at, one, eventsOf(old.flatMap((each) => each.enabled_events)));
      for (const one of old) {
        if (one.status !== 'enabled') continue;
        await change(at, one, { disabled: 'true', [`metadata[${DISABLED}]`]: at.rotation.id });
      }
    },
    async reverted(at) {
      const all = await ours(at);
      for (const one of all) {
        if (one.metadata[DISABLED] !== at.rotation.id) continue;
        await change(at, one, { disabled: 'false', [`metadata[${DISABLED}]`]: '' });
      }
      for (const one of all) if (isNew(at, one)) await change(at, one, eventsOf([QUIET]));
    },
    async retire(at) {
      for (const one of await ours(at)) if (one.metadata[DISABLED] === at.rotation.id) await remove(at, one);
    },
    async withdraw(at) {
      for (const one of await ours(at)) if (isNew(at, one)) await remove(at, one);
    },
    async prove(at) {
      if (await taken(at.from, at.signal)) throw new Unproven('our ingest takes what is signed with the old secret');
      if (!(await taken(at.to ?? '', at.signal))) throw new Unproven('our ingest refuses the new secret');
      const others = (await ours(at)).filter((one) => !isNew(at, one));
      if (others.length > 0) throw new Unproven(`Stripe still has ${others.length} other endpoints with our address`);
    },
  };
}
