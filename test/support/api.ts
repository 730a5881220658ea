import { generateSecret, loadSettings } from '#platform/config/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { type RunningApi, startApi } from '../../services/api/main.ts';
import { ApiClient } from './client.ts';
import type { TestDatabase } from './database.ts';

/** Every class, lifted: tests send from one address what a day's visitors would send from thousands. */
const LIMITS = ['AUTH', 'READ', 'WRITE', 'BILLING', 'MEDIA', 'OPS', 'BAD_CREDENTIALS'];

export interface TestApi {
  readonly api: RunningApi;
  readonly url: string;
  readonly adminToken: string;
  /** Nobody. */
  readonly anybody: ApiClient;
  /** The holder of ADMIN_TOKEN. */
  readonly admin: ApiClient;
}

/** The api as its process starts it, in this process, on a port of its own. `settings` adds to or overrides its settings. */
export async function startTestApi(
  database: TestDatabase,
  {
    settings = {},
    ...input
  }: { settings?: Record<string, string> } & Omit<Parameters<typeof startApi>[0], 'settings'> = {},
): Promise<TestApi> {
  const adminToken = generateSecret('ADMIN_TOKEN');
  const api = await startApi({
    log: silentLogger(),
    ...input,
    settings: loadSettings('api', {
      KLAR_PROFILE: 'test',
      PORT: '0',
      ADMIN_PORT: '0',
      KLAR_SECRETS_DIR: '/nonexistent',
      DATABASE_URL_API: database.url('klar_api'),
      DATABASE_URL_AUTH: database.url('klar_auth'),
      AUTH_JWT_KEY: generateSecret('AUTH_JWT_KEY'),
      AUTH_SECRET: generateSecret('AUTH_SECRET'),
      API_SECRET_SALT: generateSecret('API_SECRET_SALT'),
      ADMIN_TOKEN: adminToken,
      STRIPE_SECRET_KEY: 'sk_test_unused',
      ...Object.fromEntries(LIMITS.map((name) => [`RATE_LIMIT_${name}`, '10000000'])),
      ...settings,
    }),
  });
  const url = `http://127.0.0.1:${api.port}`;
  const anybody = new ApiClient(url);
  return { api, url, adminToken, anybody, admin: anybody.with({ token: adminToken }) };
}
