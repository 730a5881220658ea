import { must } from './command.ts';
import { readyPod } from './kube.ts';
import { clusterSettings } from './settings.ts';

/** Rows of a query, asked as the superuser inside the PostgreSQL pod: past row level security, past the network. */
export async function sql<T = Record<string, unknown>>(query: string, database = 'klar'): Promise<T[]> {
  const text = `select coalesce(json_agg(row_to_json(q)), '[]') from (${query.replace(/;\s*$/, '')}) q`;
  return JSON.parse(await psql(text, database)) as T[];
}

/** Any statements, for those that give no rows; stops at the first error. */
export async function psql(statements: string, database = 'klar'): Promise<string> {
  const pod = await readyPod('postgresql');
  const { namespace } = clusterSettings();
  return must(
    'kubectl',
    [
      ...['-n', namespace, 'exec', '-i', pod.metadata.name, '--'],
      // Its password is where the server got it from; over the socket it is asked for, too, in some images.
      ...['sh', '-c', `PGPASSWORD=$(cat /run/secrets/postgresql/password) exec "$@"`, 'sh'],
      ...['psql', '-h', '127.0.0.1', '-U', 'postgres', '-d', database, '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', '-'],
    ],
    { input: `${statements}\n` },
  );
}
