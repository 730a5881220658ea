import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type { Counter, Gauge, Histogram } from 'prom-client';

/**
 * One registry per process, or per process of the all-in-one: prom-client's global one would mix them.
 * Asking for a name again gives the metric that is there, so that two users of a part share its counters.
 */
export type Metrics = {
  registry: Registry;
  counter(name: string, help: string, labels?: readonly string[]): Counter<string>;
  gauge(name: string, help: string, labels?: readonly string[]): Gauge<string>;
  histogram(name: string, help: string, labels?: readonly string[], buckets?: readonly number[]): Histogram<string>;
};

/** 1 ms to 10 s: a statement takes single milliseconds, a provider call whole seconds. */
export const DURATION_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Metric names are `klar_<module>_<what>_<unit>`; durations in seconds. */
export function createMetrics(input: { process?: string; nodeMetrics?: boolean } = {}): Metrics {
  const registry = new Registry();
  if (input.process) registry.setDefaultLabels({ process: input.process });
  if (input.nodeMetrics) collectDefaultMetrics({ register: registry });
  function existing<T>(name: string, make: () => T): T {
    return (registry.getSingleMetric(name) as T | undefined) ?? make();
  }
  return {
    registry,
    counter: (name, help, labels = []) =>
      existing(name, () => new Counter({ name, help, labelNames: labels, registers: [registry] })),
    gauge: (name, help, labels = []) =>
      existing(name, () => new Gauge({ name, help, labelNames: labels, registers: [registry] })),
    histogram: (name, help, labels = [], buckets = DURATION_BUCKETS_S) =>
      existing(
        name,
        () => new Histogram({ name, help, labelNames: labels, buckets: [...buckets], registers: [registry] }),
      ),
  };
}

/** Sets a gauge when it is read, for what makes no event that could set it. Users that share the metrics each add theirs. */
export function whenScraped(gauge: Gauge<string>, set: () => void): void {
  const collecting = gauge as unknown as { collect?: () => void };
  const before = collecting.collect;
  collecting.collect = () => {
    before?.();
    set();
  };
}
