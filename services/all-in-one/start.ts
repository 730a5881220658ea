import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { startAdminServer, versionOf } from '#platform/admin/index.ts';
import { ensureSecret, loadSettings, type Settings } from '#platform/config/index.ts';
import { randomToken } from '#platform/crypto/index.ts';
import { listen } from '#platform/http/listener.ts';
import { createLifecycle } from '#platform/lifecycle/index.ts';
import { createLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { type CardInput, renderCard } from './card.ts';
import { type DataDir, dataDirAt, wipe } from './data-dir.ts';
import { prepareDatabase } from './database.ts';
import { completeEnvironment } from './environment.ts';
import { createFront } from './front.ts';
import { takeLock } from './lock.ts';
import { createLogOutput } from './output.ts';
import { loadParts, startParts, type Undo } from './parts.ts';
import { preferPort, requirePort } from './ports.ts';
import type { Progress } from './progress.ts';
import { startLocalRotation } from './rotation.ts';
import { startLocalSandbox } from './sandbox.ts';
import { startLocalSchedule } from './schedule.ts';
import { type Demo, seedDemo } from './seed.ts';
import { asStartError } from './start-error.ts';

export type AllInOneInput = {
  env: Record<string, string | undefined>;
  /** Forget the data of earlier runs. */
  fresh?: boolean;
  /** Make the demo school. Default true. */
  demo?: boolean;
  progress: Progress;
  terminal: NodeJS.WriteStream;
};

export type AllInOne = {
  port: number;
  adminPort: number;
  base: string;
  card: string;
  demo?: Demo;
  stop(reason?: string): Promise<void>;
};

/** Everything in one process tree, in the order in which parts need each other; a failure stops what already runs. */
export async function startAllInOne(input: AllInOneInput): Promise<AllInOne> {
  const wanted = loadSettings('all-in-one', input.env);
  const dir = dataDirAt(path.resolve(wanted.KLAR_DATA_DIR));
  const undo: Undo = [];
  try {
    return await start(input, wanted, dir, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => {});
    throw asStartError(error, dir.root);
  }
}

async function start(
  { env: given, fresh, demo: wantsDemo = true, progress, terminal }: AllInOneInput,
  wanted: Settings,
  dir: DataDir,
  undo: Undo,
): Promise<AllInOne> {
  // Before the ports: a Klar that already runs here has a better answer than "taken".
  // Open to enter whatever the umask says, as the server may run as another user; what is secret in it closes itself.
  if (await mkdir(dir.root, { recursive: true })) await chmod(dir.root, 0o755);
  const lock = await takeLock(dir.lock, wanted.PORT, progress.say);
  undo.push(() => lock.release());
  const port = await requirePort('PORT', wanted.PORT);
  const adminPort = await preferPort('ADMIN_PORT', wanted.ADMIN_PORT, given.ADMIN_PORT !== undefined);
  const base = wanted.PUBLIC_BASE_URL && given.PUBLIC_BASE_URL ? wanted.PUBLIC_BASE_URL : `http://localhost:${port}`;

  if (fresh) await progress.step('Starting over: old data removed', () => wipe(dir, progress.say));
  const output = createLogOutput(dir.log, terminal);
  undo.push(() => output.close());

  // Parsing the parts' code takes a second of this process; PostgreSQL starts in another one meanwhile.
  const parts = loadParts();
  parts.catch(() => {}); // awaited below; a failure before that must not end the process as unhandled
  const completed = await completeEnvironment(
    { ...given, PORT: String(port), ADMIN_PORT: String(adminPort), PUBLIC_BASE_URL: base },
    dir,
  );
  const database = await prepareDatabase(completed, dir, progress);
  undo.push(() => database.stop());
  const sandbox = await startLocalSandbox({
    env: completed,
    settings: wanted,
    dir,
    progress,
    port,
    stream: output.stream,
  });
  if (sandbox) undo.push(() => sandbox.stop());

  const env = { ...completed, ...database.env, ...sandbox?.env };
  const settings = loadSettings('all-in-one', env);
  const logFor = (process: string) =>
    createLogger({ process, level: settings.LOG_LEVEL, redact: settings.meta.secretValues, stream: output.stream });
  const log = logFor('all-in-one');
  for (const warning of settings.meta.warnings) log.warn(warning);
  const metrics = createMetrics({ nodeMetrics: true });
  const lifecycle = createLifecycle({ log, delayMs: settings.SHUTDOWN_DELAY_MS });

  const { api, ingest, worker } = await startParts({ parts, settings, logFor, metrics, progress, undo });

  const schedule = worker
    ? await startLocalSchedule({ settings, env, log: logFor('schedule'), metrics, stream: output.stream })
    : undefined;
  if (schedule) undo.push(() => schedule.stop());

  const rotation = startLocalRotation({ settings, base: `http://127.0.0.1:${port}`, log: logFor('rotation'), metrics });
  undo.push(() => rotation.stop());

  const front = await listen(createFront(ingest.listener, api.listener), { port });
  undo.push(() => front.close(0));
  for (const [name, part] of Object.entries({ api, ingest, ...(worker ? { worker } : {}) })) {
    lifecycle.ready(name, async () => {
      const { ok, routed, checks } = await part.readiness();
      const failing = Object.entries(checks).find(([, check]) => !check.ok);
      return { ok, stays: routed, ...(failing ? { detail: `${failing[0]}: ${failing[1].detail ?? 'failed'}` } : {}) };
    });
  }
  const version = () => ({ ...versionOf(settings), flags: api.flags() });
  const admin = await startAdminServer({ port: adminPort, metrics, readiness: lifecycle.readiness, version, log });
  undo.push(() => admin.close());

  const local = `http://127.0.0.1:${port}`;
  let demo: Demo | undefined;
  if (wantsDemo) {
    const { value: password } = await ensureSecret(dir.secrets, 'DEMO_PASSWORD', {
      make: () => `Demo-${randomToken(9)}`,
    });
    demo = await progress.step('Demo school', () => seedDemo(local, password));
  }

  lifecycle.onStop('ready', 'http', () => front.drain());
  lifecycle.onStop('listen', 'http', () => front.close());
  lifecycle.onStop('drain', 'api', () => api.stop());
  lifecycle.onStop('drain', 'webhook-ingest', () => ingest.stop());
  lifecycle.onStop('work', 'schedule', () => schedule?.stop());
  lifecycle.onStop('work', 'rotation', () => rotation.stop());
  lifecycle.onStop('work', 'worker', () => worker?.stop());
  lifecycle.onStop('pools', 'sandbox', () => sandbox?.stop());
  lifecycle.onStop('flush', 'admin', () => admin.close());

  const notes = [...settings.meta.warnings, ...(sandbox?.notes ?? [])];
  if (!settings.KLAR_WORKER_ENABLED)
    notes.push('KLAR_WORKER_ENABLED=false: no worker runs here, events and mails wait for one.');
  if (demo?.note) notes.push(demo.note);
  const card: CardInput = {
    base,
    adminPort: admin.port,
    sandboxUrl: sandbox?.url,
    mailUrl: sandbox?.mailUrl,
    payments: sandbox?.payments ?? 'Stripe',
    dataDir: shown(dir.root),
    logFile: shown(dir.log),
    demo,
    notes,
    seconds: progress.elapsedS(),
  };
  return {
    port: front.port,
    adminPort: admin.port,
    base,
    card: renderCard(card),
    ...(demo ? { demo } : {}),
    async stop(reason = 'stop') {
      await lifecycle.stop(reason);
      // Last, when nothing writes any more: the database, then what says that the folder is in use.
      await database.stop();
      await lock.release();
      await output.close();
    },
  };
}

/** Relative where that is shorter to read and to type. */
function shown(file: string): string {
  const relative = path.relative('.', file);
  return relative.startsWith('..') ? file : relative;
}
