import pg from 'pg';

/**
 * Longer than a server under load takes to greet, and short enough for whoever waits: a server whose packets are dropped
 * (a firewall, a NetworkPolicy, a node without power) would hold up a command for minutes before the system gives up.
 */
const CONNECT_MS = 15_000;

/**
 * A connection of its own, for what no pool serves: roles, migrations, restores. The caller ends it.
 * @throws Error with code ETIMEDOUT when there is no greeting in time
 */
export async function connectClient(url: string, appName: string, withinMs = CONNECT_MS): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: appName,
    connectionTimeoutMillis: withinMs,
    keepAlive: true,
  });
  // Without a listener the loss of a connection on which nothing runs would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
  } catch (error) {
    // The driver's own words ("timeout expired") say neither what nor where.
    if (/^timeout expired|due to connection timeout/.test((error as Error).message)) {
      const { host, port } = client;
      const message = `connect ETIMEDOUT ${host}:${port}: no answer within ${withinMs / 1_000} s`;
      throw Object.assign(new Error(message, { cause: error }), { code: 'ETIMEDOUT' });
    }
    throw error;
  }
  return client;
}
