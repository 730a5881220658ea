import { kubectlJson } from './kube.ts';
import { clusterSettings } from './settings.ts';

/** A secret setting as the chart made it for the demo. */
export async function secretValue(name: string): Promise<string> {
  const { release } = clusterSettings();
  const secret = await kubectlJson<{ data: Record<string, string> }>(['get', 'secret', `${release}-generated`]);
  const value = secret.data[name];
  if (value === undefined) throw new Error(`Secret ${release}-generated has no ${name}`);
  return Buffer.from(value, 'base64').toString();
}
