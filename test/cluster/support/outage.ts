import { kubectl, readyPod } from './kube.ts';
import type { Traffic } from './traffic.ts';

/**
 * When PostgreSQL began to accept connections, on the scale of a load's samples: from its own log, which the kubelet
 * stamps to the nanosecond.
 */
export async function backAfter(traffic: Traffic): Promise<number> {
  const pod = await readyPod('postgresql');
  const log = await kubectl(['logs', pod.metadata.name, '--timestamps']);
  const line = log
    .split('\n')
    .filter((text) => text.includes('database system is ready to accept connections'))
    .at(-1);
  const wall = Date.parse((line ?? '').split(' ')[0] ?? '');
  if (Number.isNaN(wall)) throw new Error(`PostgreSQL does not say when it was ready:\n${log.slice(-1_000)}`);
  return traffic.api.now() - (Date.now() - wall);
}
