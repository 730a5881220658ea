import { generateSecret } from '#platform/config/index.ts';
import { openTestDatabase, prepareDatabase, startOwnPostgres, type TestDatabase, type TestServer } from './database.ts';
import { freePorts, type KlarProcess, startProcess, untilAnswers } from './process.ts';

/** Address of one running process: its public port and its admin port. */
export interface Replica {
  readonly process: KlarProcess;
  readonly port: number;
  readonly adminPort: number;
  readonly url: string;
}

/** PostgreSQL of its own and Klar's processes on it, separate, as a deployment has them. */
export interface Stack {
  readonly postgres: TestServer;
  readonly database: TestDatabase;
  /** What every process of this stack gets; `start` adds ports. */
  readonly env: Record<string, string>;
  /** Starts one more process; the same ports may be given again for a restart. */
  start(kind: Kind, options?: { port?: number; adminPort?: number; env?: Record<string, string> }): Promise<Replica>;
  close(): Promise<void>;
}

type Kind = 'api' | 'webhook-ingest' | 'worker';

const PORT_SETTING = { api: 'PORT', 'webhook-ingest': 'INGEST_PORT', worker: undefined } as const;
const ROLES = ['api', 'auth', 'ingest', 'worker', 'ops'] as const;

/** A stack without any process yet. `env` adds to or overrides the settings of all of its processes. */
export async function createStack(env: Record<string, string> = {}): Promise<Stack> {
  const postgres = await startOwnPostgres({ settings: { max_connections: '200' } });
  await prepareDatabase(postgres.superuserUrl);
  const database = openTestDatabase(postgres.superuserUrl);
  const settings: Record<string, string> = {
    KLAR_PROFILE: 'test',
    NODE_ENV: 'test',
    LOG_LEVEL: 'warn',
    KLAR_SECRETS_DIR: '/nonexistent',
    AUTH_JWT_KEY: generateSecret('AUTH_JWT_KEY'),
    AUTH_SECRET: generateSecret('AUTH_SECRET'),
    API_SECRET_SALT: generateSecret('API_SECRET_SALT'),
    ADMIN_TOKEN: generateSecret('ADMIN_TOKEN'),
    STRIPE_SECRET_KEY: 'sk_test_stack',
    STRIPE_WEBHOOK_SECRET: 'whsec_stack_secret_of_this_test_run',
    STRIPE_API_BASE: 'http://127.0.0.1:9',
    ...Object.fromEntries(ROLES.map((role) => [`DATABASE_URL_${role.toUpperCase()}`, database.url(`klar_${role}`)])),
    // The tests send from one address what a day's visitors would send from thousands.
    ...Object.fromEntries(
      ['AUTH', 'READ', 'WRITE', 'BILLING', 'MEDIA', 'OPS', 'BAD_CREDENTIALS'].map((name) => [
        `RATE_LIMIT_${name}`,
        '10000000',
      ]),
    ),
    ...env,
  };
  const running = new Set<KlarProcess>();
  return {
    postgres,
    database,
    env: settings,
    async start(kind, options = {}) {
      const [first = 0, second = 0] = await freePorts(2);
      const port = options.port ?? first;
      const adminPort = options.adminPort ?? second;
      const setting = PORT_SETTING[kind];
      const process = startProcess(`services/${kind}/main.ts`, {
        ...settings,
        ...(setting ? { [setting]: String(port) } : {}),
        ADMIN_PORT: String(adminPort),
        ...options.env,
      });
      running.add(process);
      void process.exited.then(() => running.delete(process));
      await untilAnswers(process, `http://127.0.0.1:${adminPort}/readyz`);
      return { process, port, adminPort, url: `http://127.0.0.1:${port}` };
    },
    async close() {
      await Promise.all([...running].map((process) => process.stop()));
      await database.close();
      await postgres.close();
    },
  };
}
