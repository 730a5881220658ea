import { ACCESS_SPEC } from './spec-access.ts';
import { CLUSTER_SPEC } from './spec-cluster.ts';
import { OPERATIONS_SPEC } from './spec-operations.ts';
import { PROVIDER_SPEC } from './spec-providers.ts';
import { SERVING_SPEC } from './spec-serving.ts';

/**
 * Every setting of every process: the only place where environment variables are named. `klar config check`,
 * `.env.example` and the chart's table are made from it. Add a row in the file of its subject.
 */
export const SPEC = {
  ...SERVING_SPEC,
  ...ACCESS_SPEC,
  ...PROVIDER_SPEC,
  ...OPERATIONS_SPEC,
  ...CLUSTER_SPEC,
} as const;

export type SettingName = keyof typeof SPEC;

/** Names of before; a deployment that still sets one must not believe that it works. */
export const RENAMED: Readonly<Record<string, SettingName>> = {
  MVP_WORKER_ENABLED: 'KLAR_WORKER_ENABLED',
  LEGACY_QUEUE_WORKER_ENABLED: 'KLAR_WORKER_ENABLED',
};
