import { randomBytes } from 'node:crypto';

/** One answer of the API: its status, its parsed body, its headers. */
export type ApiAnswer<T = Record<string, unknown>> = { status: number; body: T; headers: Headers };

/** What a call may carry besides its body. */
export type CallOptions = { body?: unknown; headers?: Record<string, string> };

/** Sees every answer, e.g. to compare it with what is documented; what it throws fails the call. */
export type Watch = (
  call: { method: string; path: string },
  answer: { status: number; headers: Headers; text: string },
) => void;

/** How a call reaches the server; `fetch` unless said. */
export type Transport = (url: string, init: RequestInit) => Promise<Response>;

/** A caller of the public API over HTTP, as some person in some school. */
export class ApiClient {
  readonly #base: string;
  readonly #headers: Record<string, string>;
  readonly #watch: Watch | undefined;
  readonly #transport: Transport;
  constructor(base: string, headers: Record<string, string> = {}, watch?: Watch, transport: Transport = fetch) {
    this.#base = base.replace(/\/$/, '');
    this.#headers = headers;
    this.#watch = watch;
    this.#transport = transport;
  }

  /** What it sends with every call. */
  headers(): Record<string, string> {
    return { ...this.#headers };
  }

  /** The same caller with another token or tenant. */
  with(credentials: { token?: string; tenant?: string }): ApiClient {
    const headers = {
      ...this.#headers,
      ...(credentials.token ? { authorization: `Bearer ${credentials.token}` } : {}),
      ...(credentials.tenant ? { 'klar-tenant': credentials.tenant } : {}),
    };
    return new ApiClient(this.#base, headers, this.#watch, this.#transport);
  }

  async call<T = Record<string, unknown>>(
    method: string,
    path: string,
    options: CallOptions = {},
  ): Promise<ApiAnswer<T>> {
    const response = await this.#transport(`${this.#base}${path}`, {
      method,
      headers: {
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...this.#headers,
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      signal: AbortSignal.timeout(30_000),
    });
    const text = await response.text();
    this.#watch?.({ method, path }, { status: response.status, headers: response.headers, text });
    return { status: response.status, body: (text ? JSON.parse(text) : {}) as T, headers: response.headers };
  }

  /** As `call`, failing with the whole answer when the status is another one. */
  async expect<T = Record<string, unknown>>(
    status: number,
    method: string,
    path: string,
    options: CallOptions = {},
  ): Promise<T> {
    const answer = await this.call<T>(method, path, options);
    if (answer.status !== status) {
      throw new Error(`${method} ${path}: ${answer.status} instead of ${status}: ${JSON.stringify(answer.body)}`);
    }
    return answer.body;
  }

  /** A new person, logged in. */
  async register(
    name: string,
  ): Promise<{ client: ApiClient; id: string; email: string; password: string; token: string; refreshToken: string }> {
    const email = `${name}-${randomBytes(5).toString('hex')}@example.com`;
    const password = `${randomBytes(12).toString('base64url')}aA1!`;
    const { user } = await this.expect<{ user: { id: string } }>(201, 'POST', '/api/auth/register', {
      body: { email, password, name },
    });
    const login = await this.expect<{ access_token: string; refresh_token: string }>(200, 'POST', '/api/auth/login', {
      body: { email, password },
    });
    return {
      client: this.with({ token: login.access_token }),
      id: user.id,
      email,
      password,
      token: login.access_token,
      refreshToken: login.refresh_token,
    };
  }
}
