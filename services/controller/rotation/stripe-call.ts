/** As whom and where Stripe is asked. */
export type StripeAccess = { apiKey: () => string; apiBase: string };

export type StripeCall = {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  fields?: Record<string, string>;
  idempotencyKey?: string;
  signal: AbortSignal;
};

const ANSWER_MS = 20_000;
const PAGE = 100;

/** Stripe answered, and not with what was asked for. */
export class StripeRefusal extends Error {
  readonly status: number;
  constructor({ method, path }: StripeCall, status: number) {
    // Its text may quote a key; the status says enough.
    super(`Stripe answers ${method} ${path.split('/').slice(0, 3).join('/')} with ${status}`);
    this.name = 'StripeRefusal';
    this.status = status;
  }
}

/** One call. @throws StripeRefusal, or Error when Stripe cannot be reached */
export async function callStripe<T>({ apiKey, apiBase }: StripeAccess, call: StripeCall): Promise<T> {
  const { method, path, fields = {}, idempotencyKey, signal } = call;
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
  if (!response.ok) {
    await response.body?.cancel();
    throw new StripeRefusal(call, response.status);
  }
  return (await response.json()) as T;
}

/** A list, newest first, page by page. @param after the id that the first page follows */
export async function* listStripe<T extends { id: string }>(
  access: StripeAccess,
  { path, fields = {}, signal }: Omit<StripeCall, 'method'>,
  after = '',
): AsyncGenerator<T[]> {
  for (let last = after; ; ) {
    const page = await callStripe<{ data: T[]; has_more: boolean }>(access, {
      method: 'GET',
      path,
      fields: { ...fields, limit: String(PAGE), ...(last ? { starting_after: last } : {}) },
      signal,
    });
    if (page.data.length > 0) yield page.data;
    last = page.data.at(-1)?.id ?? '';
    if (!page.has_more || !last) return;
  }
}
