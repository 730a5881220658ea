import assert from 'node:assert/strict';
import { summarize } from '../../support/load.ts';
import { clusterTraffic } from './ingress.ts';
import type { Outcome, Traffic } from './traffic.ts';

/** A named span of a load, in milliseconds since its start. */
export interface Span {
  name: string;
  from: number;
  to: number;
}

/** Does something under the load and remembers when, for the report and for whom failures are counted to. */
export type During = <T>(name: string, act: () => Promise<T>) => Promise<T>;

/** Notes what happened when while a load runs. */
export function journal(traffic: Traffic): { spans: Span[]; during: During } {
  const spans: Span[] = [];
  const during: During = async (name, act) => {
    const from = traffic.api.now();
    try {
      return await act();
    } finally {
      spans.push({ name, from, to: traffic.api.now() });
    }
  };
  return { spans, during };
}

/** Runs a test body under the load, ends the load whatever happens, prints what it did and gives it to be judged. */
export async function underLoad(
  seconds: number,
  body: (during: During, traffic: Traffic) => Promise<void>,
  rates?: Parameters<typeof clusterTraffic>[1],
): Promise<{ outcome: Outcome; spans: Span[] }> {
  const traffic = await clusterTraffic(seconds, rates);
  const { spans, during } = journal(traffic);
  try {
    await during('at rest', () => calm(traffic));
    await body(during, traffic);
  } catch (error) {
    // A load that goes on would be the next test's fault.
    await traffic.abort();
    throw error;
  }
  const outcome = await traffic.stop();
  print(outcome, spans);
  return { outcome, spans };
}

/** How long a load at rest may take to run smoothly: processes that have just started are slow at first. */
const CALM_WITHIN_MS = 90_000;
const CALM_MS = 5_000;
const CALM_P99_MS = 500;

/** Waits until the load has run smoothly for a while: what a fault does is told from what was slow before it. */
async function calm(traffic: Traffic): Promise<void> {
  const from = traffic.api.now();
  while (traffic.api.now() - from < CALM_WITHIN_MS) {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const now = traffic.api.now();
    if (now - from < CALM_MS) continue;
    const { p99, good, count } = summarize(traffic.api.report.samples, now - CALM_MS, now);
    if (good === count && p99 < CALM_P99_MS) return;
  }
}

const both = (outcome: Outcome) => [...outcome.api.samples, ...outcome.webhooks.samples];

/** Prints what a load did: in total, and in each span. */
export function print(outcome: Outcome, spans: readonly Span[]): void {
  const line = (text: string) => process.stdout.write(`      ${text}\n`);
  const all = summarize(both(outcome));
  line(
    `${outcome.api.sent} requests, ${outcome.webhooks.sent} webhooks: ${all.failed} failed, ${all.refused} times 503 + Retry-After, ` +
      `p50 ${all.p50.toFixed(0)} ms, p99 ${all.p99.toFixed(0)} ms, slowest ${all.max.toFixed(0)} ms`,
  );
  line(
    `acked ${outcome.orders} orders and ${outcome.events} events; lost ${outcome.lost.length}, doubled ${outcome.doubled.length}; ` +
      `${outcome.paid} purchases with one effect each`,
  );
  for (const { name, from, to } of spans) {
    const part = summarize(both(outcome), from, to);
    line(
      `${name.padEnd(28)} ${((to - from) / 1000).toFixed(1).padStart(6)} s  failed ${part.failed}, 503 ${part.refused}, ` +
        `p99 ${part.p99.toFixed(0)} ms, slowest ${part.max.toFixed(0)} ms, longest gap ${part.gapMs.toFixed(0)} ms`,
    );
  }
  for (const [kind, errors] of kinds([...outcome.api.errors, ...outcome.webhooks.errors])) {
    line(`failed ${errors.length} times: ${kind}, e.g. ${errors[0]}`);
    // Sent in which seconds, as errors begin with it.
    const seconds = [...Map.groupBy(errors, (error) => Math.floor(Number.parseFloat(error)))].sort(([a], [b]) => a - b);
    line(`  sent at ${seconds.map(([at, some]) => `${at} s: ${some.length}`).join(', ')}`);
  }
  for (const [code, count] of Object.entries({ ...outcome.api.refusals })) line(`answered ${code}: ${count}`);
}

/** Failures by what was said, without the time and the path. */
const kinds = (errors: readonly string[]) =>
  Map.groupBy(errors, (error) => error.slice(error.indexOf(': ') + 2).slice(0, 80));

/** Nothing acknowledged is gone, nothing happened twice, and the load was one. */
export function assertKept(outcome: Outcome): void {
  assert.deepEqual(outcome.lost.slice(0, 10), [], `${outcome.lost.length} lost`);
  assert.deepEqual(outcome.doubled.slice(0, 10), [], `${outcome.doubled.length} doubled`);
  assert.equal(outcome.api.abandoned + outcome.webhooks.abandoned, 0, 'every write was acknowledged in the end');
  assert.ok(outcome.orders > 0 && outcome.events > 0 && outcome.paid > 0, 'there was something to lose');
  assert.deepEqual(unexpected(outcome), {}, 'no answer but those of success and our own 503');
}

/** Answers that are neither success nor what a client is asked to repeat. */
function unexpected(outcome: Outcome): Record<string, number> {
  const allowed = new Set(['200', '201', '503', '409']);
  return Object.fromEntries(
    [...Object.entries(outcome.api.statuses), ...Object.entries(outcome.webhooks.statuses)].filter(
      ([status]) => !allowed.has(status),
    ),
  );
}

/** Failed requests: none at all, or none but in the named spans (and what was under way at their start). */
export function assertNoneFailed(outcome: Outcome, spans: readonly Span[] = [], except: readonly string[] = []): void {
  const excused = spans.filter((span) => except.includes(span.name));
  const failed = both(outcome).filter(
    (sample) => sample.failed && !excused.some((span) => sample.at + sample.ms >= span.from && sample.at <= span.to),
  );
  assert.equal(
    failed.length,
    0,
    `${failed.length} failed requests:\n${[...outcome.api.errors, ...outcome.webhooks.errors].slice(0, 20).join('\n')}`,
  );
}

/** 503s: none but in the named spans. */
export function assertNoneRefused(outcome: Outcome, spans: readonly Span[], except: readonly string[]): void {
  const excused = spans.filter((span) => except.includes(span.name));
  const refused = both(outcome).filter(
    (sample) =>
      !sample.failed &&
      sample.status === 503 &&
      !excused.some((span) => sample.at + sample.ms >= span.from && sample.at <= span.to),
  );
  assert.equal(refused.length, 0, `${refused.length} times 503 while PostgreSQL was there`);
}
