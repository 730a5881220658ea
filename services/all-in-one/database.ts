import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ensureDatabase, ensureRoles } from '#platform/db/setup.ts';
import { migrateDatabase } from '../cli/commands/migrate.ts';
import type { DataDir } from './data-dir.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { databaseEnvironment, rolePasswords, withDatabase } from './environment.ts';
import { isAlive } from './postmaster.ts';
import type { Progress } from './progress.ts';

type Env = Record<string, string | undefined>;

const DATABASE = 'klar';

/**
 * A database with roles and the newest schema: the embedded one, or with DATABASE_URL (a superuser's) another server.
 * @returns the DATABASE_URL_<ROLE> that the parts use
 */
export async function prepareDatabase(
  env: Env,
  dir: DataDir,
  progress: Progress,
): Promise<{ env: Env; stop(): Promise<void> }> {
  const outside = env.DATABASE_URL?.trim();
  const server = outside
    ? { url: outside, stop: async () => {} }
    : await progress.step('PostgreSQL, embedded', () => superviseEmbedded(dir, progress));
  try {
    const passwords = await rolePasswords(dir);
    const superuserUrl = server.url;
    await progress.step(
      'Roles and schema',
      async () => {
        if ('admin' in server) await ensureDatabase(server.admin, DATABASE);
        await ensureRoles({ superuserUrl, passwords });
        const roles = databaseEnvironment(env, superuserUrl, passwords);
        const url = roles.DATABASE_URL_MIGRATOR ?? superuserUrl;
        const migrated = await migrateDatabase({ url });
        // Again: what a migration made may belong to a role that only a superuser can give it to.
        await ensureRoles({ superuserUrl });
        return migrated;
      },
      ({ applied }) => (applied.length > 0 ? `${applied.length} migrations applied` : 'nothing to do'),
    );
    const urls = databaseEnvironment(env, superuserUrl, passwords);
    await keepUrls(dir.secrets, urls);
    return { env: urls, stop: server.stop };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** For `klar` in another terminal: the port may be another one than last time, so these are written at every start. */
async function keepUrls(folder: string, urls: Env): Promise<void> {
  for (const [name, url] of Object.entries(urls)) {
    const current = path.join(folder, name, 'current');
    await mkdir(path.dirname(current), { recursive: true, mode: 0o700 });
    await writeFile(`${current}.new`, `${url}\n`, { mode: 0o600 });
    await rename(`${current}.new`, current);
  }
}

/** A postmaster that dies (kill -9, the memory of a laptop) is started again on its port; it recovers by itself. */
const LOOK_MS = 500;

async function superviseEmbedded(dir: DataDir, progress: Progress) {
  let postgres = await startEmbeddedPostgres({ dataDir: dir.pg, log: progress.say });
  let starting: Promise<unknown> | undefined;
  const timer = setInterval(() => {
    if (starting || isAlive(postgres.pid)) return;
    progress.say('PostgreSQL ended unexpectedly: starting it again');
    starting = startEmbeddedPostgres({ dataDir: dir.pg, port: postgres.port, log: progress.say })
      .then(
        (next) => {
          postgres = next;
        },
        (error: Error) => progress.say(`PostgreSQL could not be started again: ${error.message}`),
      )
      .finally(() => {
        starting = undefined;
      });
  }, LOOK_MS);
  return {
    url: withDatabase(postgres.superuserUrl, DATABASE),
    admin: postgres.superuserUrl,
    async stop() {
      clearInterval(timer);
      await starting;
      await postgres.stop();
    },
  };
}
