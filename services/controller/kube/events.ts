import type { Clock } from '#platform/clock/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { KubeClient } from './client.ts';
import { isNotFound } from './errors.ts';
import type { Timing } from './timing.ts';

export type ObjectReference = { apiVersion: string; kind: string; name: string; namespace: string; uid?: string };

export type EventNote = {
  regarding: ObjectReference;
  type: 'Normal' | 'Warning';
  /** One CamelCase word. */
  reason: string;
  /** What was done or tried, one CamelCase word. */
  action: string;
  /** For people: what happened and what mends it. */
  note: string;
};

export type EventRecorder = {
  /** Never throws and never waits: an Event is a courtesy, conditions are the state. */
  record(event: EventNote): void;
  /** Waits for what is being sent, sends what was counted, and drops the rest. */
  stop(): Promise<void>;
};

/** The same note again within this time is counted on the Event that exists, at most once per interval. */
const SERIES_MS = 60_000;
const FORGET_MS = 600_000;
/** Events of all kinds: a loop that goes wrong must not fill etcd. */
const BURST = 25;
const PER_MINUTE = 10;
/** Bytes; the API refuses longer ones. */
const NOTE_MAX = 1_024;
const INSTANCE_MAX = 128;

/** The beginning of a text, at most so many bytes of UTF-8, no character cut in two. */
function cut(text: string, max: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= max) return bytes.toString();
  let end = max - 3;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return `${bytes.subarray(0, end)}...`;
}

/** The API adds five characters; before them a name must end in a letter or a digit. */
const nameOf = (regarding: string) => `${regarding.slice(0, 200).replace(/[^a-z0-9]+$/, '')}-`;

type Series = {
  name: string | undefined;
  count: number;
  sent: number;
  lastAt: number;
  cancel: (() => void) | undefined;
};

/** Events of `events.k8s.io/v1`, aggregated by everything they say. */
export function createEventRecorder(input: {
  client: KubeClient;
  namespace: string;
  /** Name of the controller, e.g. `klar.io/controller`. */
  reportingController: string;
  reportingInstance: string;
  clock: Clock;
  timing: Timing;
  log: Logger;
  /** Blanks known secret values. */
  redact(text: string): string;
}): EventRecorder {
  const { client, clock, timing, log } = input;
  const path = `/apis/events.k8s.io/v1/namespaces/${input.namespace}/events`;
  const series = new Map<string, Series>();
  const sending = new Set<Promise<void>>();
  let tokens = BURST;
  let refilledAt = timing.monotonic();
  let stopped = false;

  function allowed(): boolean {
    const now = timing.monotonic();
    tokens = Math.min(BURST, tokens + ((now - refilledAt) / 60_000) * PER_MINUTE);
    refilledAt = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  }
  const microTime = () => clock.now().toISOString().replace('Z', '000Z');

  function send(work: () => Promise<unknown>): void {
    const sent = work().then(
      () => {},
      (error) => log.info('event not written', { error: String(error) }),
    );
    sending.add(sent);
    void sent.then(() => sending.delete(sent));
  }

  async function create(key: string, event: EventNote, entry: Series): Promise<void> {
    try {
      const made = await client.request<{ metadata: { name: string } }>({
        method: 'POST',
        path,
        body: {
          apiVersion: 'events.k8s.io/v1',
          kind: 'Event',
          metadata: { generateName: nameOf(event.regarding.name), namespace: input.namespace },
          eventTime: microTime(),
          reportingController: input.reportingController,
          reportingInstance: cut(input.reportingInstance, INSTANCE_MAX),
          ...event,
        },
      });
      entry.name = made.metadata.name;
    } catch (error) {
      series.delete(key);
      throw error;
    }
  }

  async function count(key: string, entry: Series): Promise<void> {
    const { name, count } = entry;
    entry.cancel = undefined;
    if (name === undefined || count === entry.sent) return;
    entry.sent = count;
    try {
      await client.request({
        method: 'PATCH',
        path: `${path}/${name}`,
        contentType: 'application/merge-patch+json',
        body: { series: { count, lastObservedTime: microTime() } },
      });
    } catch (error) {
      // Events live for an hour: the next one is made anew.
      if (isNotFound(error)) series.delete(key);
      throw error;
    }
  }

  return {
    record(given) {
      if (stopped) return;
      const event = { ...given, note: cut(input.redact(given.note), NOTE_MAX) };
      const now = timing.monotonic();
      for (const [key, old] of series) if (!old.cancel && now - old.lastAt > FORGET_MS) series.delete(key);
      const key = JSON.stringify(event);
      const entry = series.get(key);
      if (entry) {
        entry.count += 1;
        entry.lastAt = now;
        entry.cancel ??= timing.after(SERIES_MS, () => send(() => count(key, entry)));
        return;
      }
      if (!allowed()) return log.info('event dropped: too many', { reason: event.reason, note: event.note });
      const fresh: Series = { name: undefined, count: 1, sent: 1, lastAt: now, cancel: undefined };
      series.set(key, fresh);
      send(() => create(key, event, fresh));
    },
    async stop() {
      stopped = true;
      await Promise.all(sending);
      for (const [key, entry] of series) {
        entry.cancel?.();
        send(() => count(key, entry));
      }
      await Promise.all(sending);
      series.clear();
    },
  };
}
