/** The `error` object of an answer of Stripe's API. https://docs.stripe.com/api/errors */
export type ErrorBody = {
  type: 'invalid_request_error' | 'card_error' | 'idempotency_error' | 'api_error';
  message: string;
  code?: string;
  param?: string;
  decline_code?: string;
  [extra: string]: unknown;
};

/**
 * A refusal by the API. `executed` tells whether the endpoint had begun its work: only such answers are stored under
 * an idempotency key, refused parameters are not. https://docs.stripe.com/api/idempotent_requests
 */
export class StripeRefusal extends Error {
  readonly status: number;
  readonly body: ErrorBody;
  readonly executed: boolean;
  readonly headers: Record<string, string>;
  constructor(status: number, body: ErrorBody, options: { executed?: boolean; headers?: Record<string, string> } = {}) {
    super(body.message);
    this.status = status;
    this.body = body;
    this.executed = options.executed ?? false;
    this.headers = options.headers ?? {};
  }
}

type Extra = { param?: string | undefined; code?: string | undefined };

const invalidBody = (message: string, { param, code }: Extra): ErrorBody => ({
  type: 'invalid_request_error',
  message,
  ...(code ? { code } : {}),
  ...(param ? { param } : {}),
});

/** Refusals in Stripe's words. The caller throws. */
export const refuse = {
  invalid: (message: string, extra: Extra = {}) => new StripeRefusal(400, invalidBody(message, extra)),
  /** A refusal of the endpoint itself, after its parameters were accepted; stored under the idempotency key. */
  conflict: (message: string, extra: Extra = {}) =>
    new StripeRefusal(400, invalidBody(message, extra), { executed: true }),
  missing: (param: string) => refuse.invalid(`Missing required param: ${param}.`, { param, code: 'parameter_missing' }),
  unknown: (params: string[]) =>
    refuse.invalid(`Received unknown parameter${params.length > 1 ? 's' : ''}: ${params.join(', ')}`, {
      param: params[0],
      code: 'parameter_unknown',
    }),
  /** In a path an unknown object is a 404, in a body a 400. */
  noSuch: (kind: string, id: string, param: string, status: 400 | 404 = 404) =>
    new StripeRefusal(status, invalidBody(`No such ${kind}: '${id}'`, { param, code: 'resource_missing' })),
  card: (message: string, code: string, extra: Record<string, unknown>) =>
    new StripeRefusal(402, { type: 'card_error', message, code, ...extra }, { executed: true }),
};
