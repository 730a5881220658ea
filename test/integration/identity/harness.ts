import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { createIdentity, type Identity, type IdentityInput } from '#domain/identity/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { fixedSecret, type Secret } from '#platform/config/index.ts';
import { randomToken } from '#platform/crypto/index.ts';
import { newId } from '#platform/ids/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';

export const CLIENT = { ip: '192.0.2.7', userAgent: 'test' };
export const PASSWORD = 'correct horse battery';

export const ed25519Pem = (): string =>
  createPrivateKey(generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }))
    .export({ format: 'pem', type: 'pkcs8' })
    .toString();

/** A database, and as many identities on it as a test asks for. */
export interface Harness {
  database: TestDatabase;
  identity: Identity;
  key: Secret;
  secret: Secret;
  /** Another process with the same settings. */
  another(overrides?: Partial<IdentityInput> & { settings?: Partial<IdentityInput['settings']> }): Identity;
  /** The newest mail of a template to an address, and its variables. */
  mail(template: string, to: string): Promise<Record<string, string>>;
  mails(to: string): Promise<string[]>;
  /** Audit actions about an object, oldest first, once there are `count` of them. */
  audit(objectId: string, count: number): Promise<string[]>;
  close(): Promise<void>;
}

export async function openHarness(overrides: Partial<IdentityInput> = {}): Promise<Harness> {
  const database = await createTestDatabase();
  const key = fixedSecret('AUTH_JWT_KEY', ed25519Pem());
  const secret = fixedSecret('AUTH_SECRET', randomToken(32));
  const identities: Identity[] = [];
  const settings = {
    PUBLIC_BASE_URL: 'http://localhost:3000',
    AUTH_ISSUERS: [],
    AUTH_JWT_KEY: key,
    AUTH_SECRET: secret,
    KLAR_SECRETS_DIR: '/nowhere',
    meta: { strict: false, process: 'api' },
  } as unknown as IdentityInput['settings'];
  const another: Harness['another'] = ({ settings: changed, ...more } = {}) => {
    const identity = createIdentity({
      db: database.db('klar_auth', { poolSize: 10 }),
      apiDb: database.db('klar_api'),
      clock: systemClock,
      log: silentLogger(),
      metrics: createMetrics(),
      ...overrides,
      ...more,
      settings: { ...settings, ...overrides.settings, ...changed },
    });
    identities.push(identity);
    identity.start();
    return identity;
  };
  const identity = another();
  return {
    database,
    identity,
    key,
    secret,
    another,
    mail: (template, to) =>
      until(
        async () => {
          const rows = await database.asSuperuser<{ data: Record<string, string> }>(
            `select data from app.notification_deliveries where template = $1 and to_email = $2 order by id desc limit 1`,
            [template, to],
          );
          return rows[0]?.data;
        },
        { what: `mail ${template} to ${to}` },
      ),
    mails: async (to) =>
      (
        await database.asSuperuser<{ template: string }>(
          `select template from app.notification_deliveries where to_email = $1 order by id`,
          [to],
        )
      ).map(({ template }) => template),
    audit: (objectId, count) =>
      until(
        async () => {
          const rows = await database.asSuperuser<{ action: string }>(
            `select action from app.audit_pending where object_id = $1 order by seq`,
            [objectId],
          );
          return rows.length >= count ? rows.map(({ action }) => action) : undefined;
        },
        { what: `${count} audit rows of ${objectId}` },
      ),
    close: async () => {
      await Promise.all(identities.map((each) => each.stop()));
      await database.close();
    },
  };
}

export const address = (name = 'ada'): string => `${name}.${newId('x').slice(-12)}@example.com`;

/** Registers and logs in. */
export async function enter(identity: Identity, email = address()) {
  const person = await identity.register({ email, password: PASSWORD, name: 'Ada Lovelace' });
  const tokens = await identity.login({ email, password: PASSWORD, client: CLIENT });
  return { email, person, tokens, principal: await identity.verifyAccessToken(tokens.accessToken) };
}

export const tokenOf = (url: string | undefined): string =>
  decodeURIComponent(new URL(url ?? '').hash.replace('#token=', ''));

/** The code of a thrown KlarError. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return String((error as { code?: unknown }).code ?? error);
  }
  return 'no error';
}
