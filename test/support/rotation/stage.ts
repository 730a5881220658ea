import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type RequestAction, rotationStore, STEPS } from '#domain/secrets/index.ts';
import { ensureSecret } from '#platform/config/index.ts';
import type { Db } from '#platform/db/index.ts';
import { createFolderStore } from '../../../services/controller/rotation/folder-store.ts';
import type { SlotValues } from '../../../services/controller/rotation/secret-store.ts';
import { startTestApi, type TestApi } from '../api.ts';
import { createTestDatabase, type TestDatabase } from '../database.ts';
import { type KlarProcess, startProcess } from '../process.ts';
import { until } from '../until.ts';

/** Every place at which the reconciler can be killed. */
export const KILLS = STEPS.flatMap((step) => [
  `rotation.${step}.begin`,
  `rotation.${step}.effect`,
  `rotation.${step}.record`,
]).concat(['provisioning', 'activating', 'retiring'].map((step) => `rotation.${step}.half`));

export type Pod = { pod: string; component: string; url: string };

/** Two pods of the api on one folder of secrets, and reconcilers that come and go. */
export type Stage = {
  database: TestDatabase;
  folder: string;
  apis: TestApi[];
  ops: Db;
  /** What clients use now. */
  current(name: string): Promise<string>;
  slots(name: string): Promise<SlotValues>;
  ask(secret: string, more?: { action?: RequestAction; emergency?: boolean }): Promise<string>;
  answer(request: string): Promise<{ accepted: boolean | null; answer: string | null }>;
  latest(secret: string): Promise<Awaited<ReturnType<typeof rotationStore.latest>>[number] | undefined>;
  history(secret: string): Promise<string[]>;
  reconciler(failpoint?: string, env?: Record<string, string>): KlarProcess;
  ended(secret: string, timeoutMs?: number): Promise<string>;
  close(): Promise<void>;
};

export type StageInput = {
  /** Absent: a clone of the run's own. */
  database?: TestDatabase;
  secrets?: string[];
  /** Values that are not to be made. */
  values?: (database: TestDatabase) => Record<string, string>;
  pods?: (apis: TestApi[]) => Pod[];
  /** For the reconcilers. */
  env?: () => Record<string, string>;
  apiCount?: number;
};

export const OWN_SECRETS = ['ADMIN_TOKEN', 'AUTH_JWT_KEY', 'API_SECRET_SALT'];

export async function openStage(input: StageInput = {}): Promise<Stage> {
  const { secrets = OWN_SECRETS, apiCount = 2 } = input;
  const database = input.database ?? (await createTestDatabase());
  // The waits of a real rotation take minutes to weeks.
  await database.asSuperuser(`
    create function public.shorten() returns trigger language plpgsql as $$
      begin new.soak_s := 0; new.quiet_s := least(new.quiet_s, 1); return new; end $$;
    create trigger shorten before insert on ops.rotations for each row execute function public.shorten();`);
  const folder = await mkdtemp(path.join(tmpdir(), 'klar-rotation-'));
  const given = input.values?.(database) ?? {};
  for (const name of new Set([...OWN_SECRETS, ...secrets])) {
    const value = given[name];
    await ensureSecret(folder, name, value === undefined ? {} : { make: () => value });
  }
  const policies = path.join(folder, 'rotation.yaml');
  const entries = secrets.map((secret) => ({ secret, kind: kindOf(secret), period: '365d', soak: '0s' }));
  await writeFile(policies, JSON.stringify({ version: 1, policies: entries }));
  const fromFiles = Object.fromEntries([...OWN_SECRETS, ...secrets].map((name) => [name, '']));
  const apis: TestApi[] = [];
  for (let i = 0; i < apiCount; i += 1) {
    apis.push(await startTestApi(database, { settings: { KLAR_SECRETS_DIR: folder, ...fromFiles } }));
  }
  const pods = (input.pods ?? ((all) => all.map(podOf)))(apis);
  const ops = database.db('klar_ops', { acquireTimeoutMs: 30_000 });
  const store = createFolderStore(folder, () => true);
  const running = new Set<KlarProcess>();
  const slots = async (name: string) => {
    const stored = await store.read(name, new AbortController().signal);
    if (!stored) throw new Error(`${name} is not there`);
    return stored.values;
  };
  const latest = async (secret: string) => (await ops.withTx((tx) => rotationStore.latest(tx, secret, 1)))[0];
  return {
    database,
    folder,
    apis,
    ops,
    slots,
    latest,
    current: async (name) => (await slots(name)).current.value,
    async ask(secret, { action = 'rotate', emergency = false } = {}) {
      const row = { secret, action, emergency, reason: 'a test', requestedBy: 'test' };
      return (await ops.withTx((tx) => rotationStore.ask(tx, row))).id;
    },
    async answer(id) {
      const request = await until(
        async () => {
          const row = await ops.withTx((tx) => rotationStore.request(tx, id));
          return row?.takenAt ? row : undefined;
        },
        { timeoutMs: 20_000, what: 'the answer' },
      );
      return { accepted: request.accepted, answer: request.answer };
    },
    async history(secret) {
      const rotation = await latest(secret);
      const rows = rotation ? await ops.withTx((tx) => rotationStore.history(tx, rotation.id)) : [];
      return rows.map(({ step, event, note }) => `${step} ${event}${note ? `: ${note}` : ''}`);
    },
    reconciler(failpoint, env = {}) {
      const started = startProcess('test/support/rotation/reconciler.ts', {
        CONTROLLER_URL: database.url('klar_controller'),
        FOLDER: folder,
        SECRETS: secrets.join(','),
        POLICIES: policies,
        PODS: JSON.stringify(pods),
        API: apis[0]?.url ?? '',
        ISSUER: 'http://localhost:3000',
        ...input.env?.(),
        ...(failpoint ? { KLAR_FAILPOINT: failpoint } : {}),
        ...env,
      });
      running.add(started);
      void started.exited.then(() => running.delete(started));
      return started;
    },
    async ended(secret, timeoutMs = 60_000) {
      const row = await until(
        async () => {
          const rotation = await latest(secret);
          return rotation?.outcome ? rotation : undefined;
        },
        { timeoutMs, what: `the rotation of ${secret}`, everyMs: 100 },
      );
      return row.outcome ?? '';
    },
    async close() {
      for (const one of running) await one.kill();
      for (const { api } of apis) await api.stop();
      await database.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export const podOf = ({ api }: TestApi, index: number): Pod => ({
  pod: `api-${index}`,
  component: 'api',
  url: `http://127.0.0.1:${api.adminPort}`,
});

function kindOf(secret: string): string {
  const kinds: Record<string, string> = {
    ADMIN_TOKEN: 'admin-token',
    AUTH_JWT_KEY: 'jwt-key',
    API_SECRET_SALT: 'api-key-pepper',
    STRIPE_WEBHOOK_SECRET: 'stripe-webhook',
    LIVEKIT_API_SECRET: 'livekit-key',
  };
  return kinds[secret] ?? 'postgres-login';
}

/** A client that never stops: counts what it was refused. */
export function startClient(once: () => Promise<string | undefined>): {
  stop(): Promise<{ asked: number; refused: string[] }>;
} {
  let going = true;
  const refused: string[] = [];
  let asked = 0;
  const loop = (async () => {
    while (going) {
      const problem = await once().catch((error) => String(error));
      asked += 1;
      if (problem) refused.push(problem);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  return {
    async stop() {
      going = false;
      await loop;
      return { asked, refused };
    },
  };
}
