import { kubectlJson } from './kube.ts';
import { clusterSettings } from './settings.ts';

const generated = () => `${clusterSettings().release}-generated`;

/** What the chart made for the demo and rotations change, as it is stored: in base64. */
export async function generatedSecret(): Promise<Record<string, string>> {
  return (await kubectlJson<{ data: Record<string, string> }>(['get', 'secret', generated()])).data;
}

/** A secret setting of it. */
export async function secretValue(name: string): Promise<string> {
  const value = (await generatedSecret())[name];
  if (value === undefined) throw new Error(`Secret ${generated()} has no ${name}`);
  return Buffer.from(value, 'base64').toString();
}
