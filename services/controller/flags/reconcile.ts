import {
  compileFlags,
  compileLive,
  FLAGS,
  type FlagSetResult,
  insertFlagSet,
  LIVE_FILE,
  type LiveFlags,
  liveFlags,
  parseLive,
  renderLive,
  storedHead,
} from '#domain/flags/index.ts';
import { checkTerm, staleTerm } from '#domain/operations/index.ts';
import { applyObject } from '../kube/apply.ts';
import { isNotFound } from '../kube/errors.ts';
import type { Term } from '../kube/leader.ts';
import type { ConfigMap } from '../kube/status.ts';
import type { ControllerDeps } from '../reconciler.ts';
import { type Checked, decide, type Observed, type Plan } from './decide.ts';
import { restoredSource } from './restore.ts';
import { authorOf, readSource, type Source } from './source.ts';

export const MANAGER = 'klar-flags';
export const namesOf = (name: string) => ({
  source: `${name}-flags-source`,
  live: `${name}-flags`,
  status: `${name}-flags-status`,
});

export type Applied = {
  plan: Plan;
  /** Why the database does not have it; pods then get it by the mounted file, within about a minute. */
  databaseProblem: string | undefined;
};

/**
 * So long the database may take for a question: a connection that hangs is dropped then, and the next try has a new one.
 * The role's own limit, 15 s, would be what a flip waits.
 */
const ANSWER_MS = 2_000;

/**
 * What the reconciler does, a function for each thing that may fail by itself: an API server that is slow or refuses must
 * not keep a flip from the database, which is the way to the pods. What was read and applied last is remembered between
 * calls and terms.
 */
export function createFlagsReconcile(deps: ControllerDeps) {
  const { client, namespace, lease } = deps;
  const db = deps.db.aside({ poolSize: 1, answerMs: ANSWER_MS });
  const names = namesOf(deps.name);
  const path = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
  let memory: Checked | undefined;
  /** The last compilation of each: parsing 1 MiB each time would be most of what an idle controller does. */
  const compiled = new Map<'source' | 'live' | 'stored', { key: string; result: unknown }>();
  function once<T>(slot: 'source' | 'live' | 'stored', key: string, make: () => T): T {
    const known = compiled.get(slot);
    if (known?.key === key) return known.result as T;
    const result = make();
    compiled.set(slot, { key, result });
    return result;
  }
  function check(slot: 'live' | 'stored', live: LiveFlags | undefined): Checked | 'missing' {
    if (!live) return 'missing';
    const reading = once(slot, renderLive(live), () => compileLive(live, FLAGS));
    return reading.ok ? { ...live, set: reading.set } : 'missing';
  }

  /** The document is fetched only when it is not the one we know. */
  async function readStored(): Promise<Checked | 'missing' | 'unknown'> {
    try {
      return await db.withTx(
        async (tx) => {
          const head = await storedHead(tx);
          if (!head) return 'missing';
          if (memory?.sequence === head.sequence && memory.version === head.version) return memory;
          return check('stored', await liveFlags(tx, head.sequence - 1));
        },
        { readOnly: true },
      );
    } catch (error) {
      deps.log.info('flags: the database does not say what it has', { error: String(error) });
      return 'unknown';
    }
  }

  async function writeStored(plan: Plan, source: Source, term: Term): Promise<string | undefined> {
    const { target } = plan;
    if (!target || !plan.writeStored) return undefined;
    term.check();
    try {
      await db.withTx(async (tx) => {
        await checkTerm(tx, lease, term.token);
        await insertFlagSet(tx, { ...target, term: term.token, changedBy: authorOf(source, target.version) });
      });
      return undefined;
    } catch (error) {
      const greatest = staleTerm(error);
      // Somebody else leads: what this process would write now may be older than what they wrote.
      if (greatest === undefined) return String(error);
      term.refused(greatest);
      throw error;
    }
  }

  /** Makes the source again, unless somebody else did meanwhile. */
  async function restoreSource(plan: Plan, term: Term, signal: AbortSignal): Promise<void> {
    term.check();
    // Read anew: the copy may be behind a person who makes it at this moment, and theirs counts.
    const there = await client
      .request<ConfigMap>({ method: 'GET', path: path(names.source), signal })
      .catch((error) => {
        if (isNotFound(error)) return undefined;
        throw error;
      });
    if (there) return;
    const data = await restoredSource(plan.restoreSource === 'from-live' ? plan.target : undefined);
    await applyObject<ConfigMap>(client, {
      path: path(names.source),
      object: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: names.source, namespace }, data },
      fieldManager: MANAGER,
      force: false,
      signal,
    });
  }

  /** Observes, decides, and tells the database; one call at a time. */
  async function run(
    seen: { source: ConfigMap | undefined; live: ConfigMap | undefined },
    term: Term,
  ): Promise<Applied> {
    const source = readSource(seen.source);
    const liveText = seen.live?.data?.[LIVE_FILE];
    const observed: Observed = {
      source,
      compiled:
        source.state === 'document'
          ? once<FlagSetResult>('source', source.text, () => compileFlags(source.text, FLAGS))
          : undefined,
      live: check('live', parseLive(liveText ?? '')),
      liveText,
      stored: await readStored(),
      memory,
    };
    const plan = decide(observed, deps.clock.now());
    const databaseProblem =
      observed.stored === 'unknown' ? 'it does not answer' : await writeStored(plan, source, term);
    if (plan.target && (plan.target.sequence !== memory?.sequence || plan.target.version !== memory.version)) {
      const reading = compileLive(plan.target, FLAGS);
      if (reading.ok) memory = { ...plan.target, set: reading.set };
    }
    return { plan, databaseProblem };
  }

  /** Brings the live ConfigMap to the target. @throws a conflict when somebody wrote it since it was seen */
  async function writeLive(target: LiveFlags, seen: ConfigMap | undefined, term: Term, signal: AbortSignal) {
    term.check();
    return applyObject<ConfigMap>(client, {
      path: path(names.live),
      object: {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: names.live, namespace },
        data: { [LIVE_FILE]: renderLive(target) },
      },
      fieldManager: MANAGER,
      resourceVersion: seen?.metadata.resourceVersion,
      signal,
    });
  }

  return { run, writeLive, restoreSource };
}
