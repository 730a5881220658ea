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
      ...['psql', '-h', '/tmp', '-U', 'postgres', '-d', database, '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', '-'],
    ],
    { input: `${statements}\n` },
  );
}
