import fc from 'fast-check';
import {
  once,
  prepareDatabase,
  SERVER_URL,
  startOwnPostgres,
  TEMPLATE,
  type TestServer,
  withDatabase,
} from './database.ts';
import { databaseName } from './postgres-server.ts';

// On a laptop every run tries other cases; CI repeats one set, so that red means that the change broke something.
if (process.env.CI) fc.configureGlobal({ seed: Number(process.env.KLAR_SEED ?? 1) });

let server: TestServer | undefined;

/** One server and one migrated template for the whole run. A server that does not start fails the run. */
export async function mochaGlobalSetup(): Promise<void> {
  server = await startOwnPostgres({ durable: false });
  const template = databaseName('template');
  await once(server.superuserUrl, `create database ${template}`);
  await prepareDatabase(withDatabase(server.superuserUrl, template));
  // mocha's worker processes inherit the environment.
  process.env[SERVER_URL] = server.superuserUrl;
  process.env[TEMPLATE] = template;
}

export async function mochaGlobalTeardown(): Promise<void> {
  await server?.close();
}
