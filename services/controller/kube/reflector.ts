import type { Logger } from '#platform/log/index.ts';
import type { KubeClient } from './client.ts';
import { isExpired, KubeError, type KubeStatus, retryAfterMs } from './errors.ts';
import { isNewer, type KubeList, type KubeObject } from './objects.ts';
import { backoffMs, sleep, type Timing } from './timing.ts';

export type Reflector<T extends KubeObject> = {
  start(): void;
  /** Resolves when the loop has ended and its connection is closed. */
  stop(): Promise<void>;
  /** Whether everything was listed once; before that `get` proves nothing. */
  synced(): boolean;
  get(name: string): T | undefined;
  names(): string[];
};

export type ReflectorInput = {
  client: KubeClient;
  /** The collection, e.g. `/api/v1/namespaces/klar/configmaps`. */
  path: string;
  query?: { fieldSelector?: string; labelSelector?: string };
  timing: Timing;
  log: Logger;
  /** Something changed, was added or is gone. Called synchronously: put the name into a queue. */
  onChange(name: string): void;
  /** A list is through, also when it changed nothing. */
  onSync?: () => void;
  limits?: Partial<ReflectorLimits>;
};

export type ReflectorLimits = {
  /** For how long a watch is asked for; the server sends a bookmark shortly before it ends one in order. */
  watchMs: number;
  /** What the server may be late. A connection that is still open then is dead: 40 + 10 s are found within 60 s. */
  graceMs: number;
  /** Whatever a watch may ever miss is found by listing anew. */
  relistMs: number;
  pageSize: number;
  /** A watch that ended in order after so long is no failure: proxies close what is idle, some of them within seconds. */
  cleanMs: number;
  baseMs: number;
  maxMs: number;
};

const LIMITS: ReflectorLimits = {
  watchMs: 40_000,
  graceMs: 10_000,
  relistMs: 600_000,
  pageSize: 500,
  cleanMs: 1_000,
  baseMs: 200,
  maxMs: 20_000,
};

type WatchEvent = { type: string; object: KubeObject & KubeStatus };

/**
 * A copy of a collection that follows the API server: list, watch from there, and again. Every error ends in another
 * attempt, so it never stops by itself; `stop` is the only end.
 */
export function createReflector<T extends KubeObject>(input: ReflectorInput): Reflector<T> {
  const { client, path, query, timing, log, onChange } = input;
  const limits = { ...LIMITS, ...input.limits };
  let objects = new Map<string, T>();
  /** Everything up to here is in `objects`; undefined: list first. */
  let version: string | undefined;
  let listedAt = Number.NEGATIVE_INFINITY;
  let listed = false;
  let whole = false;
  let ending: AbortController | undefined;
  let loop: Promise<void> | undefined;

  async function list(signal: AbortSignal): Promise<void> {
    const found = new Map<string, T>();
    let page: KubeList<T> | undefined;
    do {
      // Without a resourceVersion: the newest state by quorum. From a cache the list could be older than the last one.
      page = await client.request<KubeList<T>>({
        method: 'GET',
        path,
        query: { ...query, limit: whole ? undefined : limits.pageSize, continue: page?.metadata.continue },
        signal,
      });
      if (!Array.isArray(page.items) || !page.metadata?.resourceVersion) throw new Error(`${path}: not a list`);
      for (const item of page.items) found.set(item.metadata.name, kept(item));
    } while (page.metadata.continue);
    const before = objects;
    objects = found;
    version = page.metadata.resourceVersion;
    listedAt = timing.monotonic();
    listed = true;
    whole = false;
    for (const [name, item] of found) {
      if (before.get(name)?.metadata.resourceVersion !== item.metadata.resourceVersion) onChange(name);
    }
    for (const name of before.keys()) if (!found.has(name)) onChange(name);
    input.onSync?.();
  }

  function take(line: string): void {
    const { type, object } = JSON.parse(line) as WatchEvent;
    // The second form of 410, and of every other refusal: an event within a stream that began with 200.
    if (type === 'ERROR') throw new KubeError(object.code ?? 500, object);
    const at = object?.metadata?.resourceVersion;
    if (at === undefined) throw new Error(`${path}: an event without a resourceVersion`);
    // Replayed: taking it would bring back what was deleted, or an older state.
    if (version === undefined || !isNewer(at, version)) return;
    version = at;
    if (type === 'BOOKMARK') return;
    const { name } = object.metadata;
    if (type === 'DELETED') objects.delete(name);
    else objects.set(name, kept(object as unknown as T));
    onChange(name);
  }

  async function watch(signal: AbortSignal): Promise<void> {
    await client.watch({
      path,
      query: {
        ...query,
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion: version,
        timeoutSeconds: Math.ceil(limits.watchMs / 1_000),
      },
      timeoutMs: limits.watchMs + limits.graceMs,
      signal,
      onLine: take,
    });
  }

  async function run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      let began = timing.monotonic();
      let failed: unknown;
      try {
        if (version === undefined || began - listedAt > limits.relistMs) await list(signal);
        // A list that took long before the watch was refused is no server that is well.
        began = timing.monotonic();
        await watch(signal);
      } catch (error) {
        failed = error;
        if (signal.aborted) return;
        if (isExpired(error)) {
          // A continued list that expires again and again is asked for in one piece.
          whole = version === undefined;
          version = undefined;
        }
      }
      // A watch that lasted is a server that is well. One that ended at once, in order or not, must not become a hot loop.
      const lastedMs = timing.monotonic() - began;
      const well = lastedMs > limits.watchMs / 2 || (failed === undefined && lastedMs >= limits.cleanMs);
      failures = well ? 0 : failures + 1;
      if (failed !== undefined) {
        log.log(failures > 3 ? 'warn' : 'info', 'watch interrupted', { path, failures, error: String(failed) });
      } else if (failures === 0) continue;
      const pauseMs = backoffMs(Math.max(failures, 1), limits, timing.random);
      await sleep(timing, Math.max(pauseMs, retryAfterMs(failed)), signal);
    }
  }

  return {
    start() {
      if (loop) return;
      ending = new AbortController();
      loop = run(ending.signal);
    },
    async stop() {
      ending?.abort(new Error('stopped'));
      await loop;
    },
    synced: () => listed,
    get: (name) => objects.get(name),
    names: () => [...objects.keys()],
  };
}

/** Without the account of who wrote which field: often longer than the object, and nobody here reads it. */
function kept<T extends KubeObject>(object: T): T {
  delete (object.metadata as { managedFields?: unknown }).managedFields;
  return object;
}
