import type { Clock } from '#platform/clock/index.ts';
import type { Settings } from '#platform/config/index.ts';
import type { Db } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import type { KubeClient } from './kube/client.ts';
import type { EventRecorder } from './kube/events.ts';
import type { Term } from './kube/leader.ts';
import type { Timing } from './kube/timing.ts';
import type { PodReader } from './pods.ts';

/** One thing that the controller keeps as it should be. `reconcilers.ts` lists them. */
export type Reconciler = {
  name: string;
  /** Works until the term's signal aborts and ends soon after; a throw gives the lease back. */
  run(term: Term): Promise<void>;
};

/** What every reconciler is built on; `main.ts` makes it once. */
export type ControllerDeps = {
  settings: Settings;
  client: KubeClient;
  namespace: string;
  /** What the names of our objects begin with: `<name>-flags`, `<name>-controller`. In a cluster the chart's full name. */
  name: string;
  /** Name of the Lease, in the cluster and for `checkTerm`. */
  lease: string;
  /** As klar_controller. */
  db: Db;
  clock: Clock;
  timing: Timing;
  log: Logger;
  metrics: Metrics;
  events: EventRecorder;
  /** Blanks known secret values. */
  redact(text: string): string;
  pods: PodReader;
};
