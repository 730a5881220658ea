import { LIVE_FILE, renderLive } from '#domain/flags/index.ts';
import type { ConditionInput } from '../kube/conditions.ts';
import { createController } from '../kube/controller.ts';
import { isConflict } from '../kube/errors.ts';
import type { Term } from '../kube/leader.ts';
import { isNewer } from '../kube/objects.ts';
import { createReflector } from '../kube/reflector.ts';
import { type ConfigMap, createStatusWriter } from '../kube/status.ts';
import type { ControllerDeps, Reconciler } from '../reconciler.ts';
import type { Verdict } from './decide.ts';
import { distributionOf } from './distribution.ts';
import { type Applied, createFlagsReconcile, MANAGER, namesOf } from './reconcile.ts';

/**
 * Keys of the work queue: decide and tell the database, write the live ConfigMap, make the source again, look which pods
 * have it, say so. Apart, as each has its own pause after a failure: what the API server refuses or leaves unanswered keeps
 * no flip from the database.
 */
const KEYS = ['apply', 'live', 'source', 'pods', 'status'] as const;
type Key = (typeof KEYS)[number];

/** How soon pods are asked again: while a flip is on its way, when none lags, and when one still does. */
const LAGGING_MS = 500;
const STEADY_MS = 15_000;
const LATE_MS = 5_000;
/** A database that was away is written when it is back, without a change. */
const DATABASE_AGAIN_MS = 1_000;
/** A flip takes about a second; what takes longer than this is a pod that lags. */
const GRACE_MS = 10_000;
const RESYNC_MS = 300_000;
/** A watch of the source that went silent is found within these: until then a flip is not seen. */
const SOURCE_WATCH = { watchMs: 4_000, graceMs: 2_000 };

/** Source ConfigMap -> database and live ConfigMap -> pods, with conditions that say how far it came. */
export function createFlagsReconciler(deps: ControllerDeps): Reconciler {
  const { client, namespace, timing, log, clock, events } = deps;
  const names = namesOf(deps.name);
  const reconcile = createFlagsReconcile(deps);
  const status = createStatusWriter({ ...deps, name: names.status, fieldManager: MANAGER });
  const measured = measure(deps);

  async function run(term: Term): Promise<void> {
    let applied: Applied | undefined;
    let distribution: ReturnType<typeof distributionOf> | undefined;
    let appliedAt = 0;
    let distributed = false;
    /** Why the live ConfigMap is not what it should be, beyond a conflict, which the next try solves. */
    let liveProblem: string | undefined;
    /** Our own write, until the copy has it: deciding from an older one would only be refused. */
    let written: ConfigMap | undefined;

    const watch = (name: string, onChange: () => void, limits = {}) =>
      createReflector<ConfigMap>({
        client,
        path: `/api/v1/namespaces/${namespace}/configmaps`,
        query: { fieldSelector: `metadata.name=${name}` },
        timing,
        log,
        onChange,
        onSync: () => controller.add('apply'),
        limits,
      });
    const source = watch(names.source, () => controller.add('apply'), SOURCE_WATCH);
    const live = watch(names.live, () => {
      if (!live.get(names.live)) written = undefined;
      controller.add('apply');
    });
    const liveNow = () => {
      const seen = live.get(names.live);
      const later = written && (!seen || isNewer(version(written), version(seen)));
      return later ? written : seen;
    };

    async function apply() {
      // Before both were listed an absent object proves nothing.
      if (!source.synced() || !live.synced()) return undefined;
      applied = await reconcile.run({ source: source.get(names.source), live: liveNow() }, term);
      const { plan, databaseProblem } = applied;
      if (plan.writeLive) controller.add('live');
      else liveProblem = undefined;
      if (plan.restoreSource) controller.add('source');
      measured.applied(applied);
      if (plan.changed) {
        appliedAt = timing.monotonic();
        distributed = false;
        distribution = undefined;
        log.info('flags applied', { version: plan.target?.version, sequence: plan.target?.sequence });
      }
      tell(applied);
      controller.add('status');
      // While the database is away this runs each second: no reason to ask every pod as often.
      if (plan.changed || !distribution) controller.add('pods');
      return { afterMs: databaseProblem === undefined ? RESYNC_MS : DATABASE_AGAIN_MS };
    }

    async function writeLive(signal: AbortSignal) {
      const { target, changed } = applied?.plan ?? {};
      const seen = liveNow();
      if (!target || seen?.data?.[LIVE_FILE] === renderLive(target)) return undefined;
      try {
        written = await reconcile.writeLive(target, seen, term, signal);
        liveProblem = undefined;
        if (!changed) tellRestored();
      } catch (error) {
        if (!isConflict(error)) liveProblem = String(error);
        throw error;
      } finally {
        controller.add('status');
      }
      return undefined;
    }

    async function restoreSource(signal: AbortSignal) {
      if (applied?.plan.restoreSource) await reconcile.restoreSource(applied.plan, term, signal);
      return undefined;
    }

    async function look(signal: AbortSignal) {
      const target = applied?.plan.target;
      if (!target) return { afterMs: STEADY_MS };
      const pods = await deps.pods.observe(signal);
      // Another set became the target while the pods were asked.
      if (applied?.plan.target?.version !== target.version) return { afterMs: 0 };
      distribution = distributionOf(pods, target.version);
      measured.pods(distribution);
      if (distribution.valid && !distributed) {
        if (appliedAt > 0) measured.distributed((timing.monotonic() - appliedAt) / 1_000);
        distributed = true;
      }
      controller.add('status');
      const fresh = timing.monotonic() - appliedAt < GRACE_MS;
      return { afterMs: distribution.valid ? STEADY_MS : fresh ? LAGGING_MS : LATE_MS };
    }

    async function say(signal: AbortSignal) {
      if (!applied) return undefined;
      const { target } = applied.plan;
      term.check();
      await status.write({
        conditions: conditionsOf({ ...applied, liveProblem }, distribution, timing.monotonic() - appliedAt < GRACE_MS),
        data: target
          ? {
              version: target.version,
              sequence: String(target.sequence),
              lagging: JSON.stringify([
                ...(distribution?.lagging ?? []),
                ...(distribution?.silent ?? []).map((pod) => ({ pod })),
              ]),
            }
          : {},
        signal,
      });
      return undefined;
    }

    const work: Record<Key, (signal: AbortSignal) => Promise<{ afterMs?: number } | undefined>> = {
      apply,
      live: writeLive,
      source: restoreSource,
      pods: look,
      status: say,
    };
    const controller = createController({
      name: 'flags',
      reconcile: (key, signal) => work[key as Key](signal),
      clock,
      timing,
      log,
      metrics: deps.metrics,
      concurrency: KEYS.length,
      timeoutMs: 30_000,
    });
    source.start();
    live.start();
    try {
      await controller.run(term.signal);
    } finally {
      await Promise.all([source.stop(), live.stop()]);
    }
  }

  const about = (name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', name, namespace });
  const warn = (name: string, reason: string, action: string, note: string) =>
    events.record({ regarding: about(name), type: 'Warning', reason, action, note });
  const tellRestored = () =>
    warn(names.live, 'LiveRestored', 'Restore', 'The live ConfigMap was not what it should be; it was written again.');

  function tell({ plan, databaseProblem }: Applied): void {
    if (!plan.source.valid) warn(names.source, plan.source.reason, 'Validate', plan.source.message);
    if (plan.restoreSource) {
      const from = plan.restoreSource === 'from-live' ? 'what is live' : 'the defaults of this release';
      warn(names.source, 'SourceRestored', 'Restore', `The source ConfigMap was not there; it was made from ${from}.`);
    }
    if (databaseProblem) {
      warn(names.live, 'DatabaseAway', 'Apply', 'Pods get the flags by their mounted file, within about a minute.');
    }
    if (plan.changed && plan.target) {
      const note = `Version ${plan.target.version}, sequence ${plan.target.sequence}, is live.`;
      events.record({ regarding: about(names.live), type: 'Normal', reason: 'Applied', action: 'Apply', note });
    }
  }

  return { name: 'flags', run };
}

const version = (map: ConfigMap) => map.metadata.resourceVersion ?? '';

/** @param fresh a set was applied only just now: pods that have it not yet are no news */
export function conditionsOf(
  { plan, databaseProblem, liveProblem }: Applied & { liveProblem: string | undefined },
  distribution: Verdict | undefined,
  fresh: boolean,
): ConditionInput[] {
  const { target, source } = plan;
  const observedGeneration = target?.sequence ?? 0;
  const condition = (type: string, status: ConditionInput['status'], { reason, message }: Omit<Verdict, 'valid'>) => ({
    type,
    status,
    reason,
    message,
    observedGeneration,
  });
  const applied = !target
    ? condition('Applied', 'False', { reason: 'NothingGood', message: 'No good document was ever seen.' })
    : databaseProblem
      ? condition('Applied', 'False', {
          reason: 'DatabaseAway',
          message: `The database does not have version ${target.version}: pods get it by their mounted file.`,
        })
      : liveProblem
        ? condition('Applied', 'False', {
            reason: 'LiveNotWritten',
            message: `Pods have version ${target.version} by the database; the live ConfigMap does not take it (${liveProblem}). Delete it, it is made again.`,
          })
        : condition('Applied', 'True', { reason: 'Applied', message: `Version ${target.version} is live.` });
  const pending = { reason: 'Distributing', message: 'The pods are being asked.' };
  return [
    condition('SourceValid', source.valid ? 'True' : 'False', source),
    applied,
    !distribution || (!distribution.valid && fresh)
      ? condition('Distributed', 'Unknown', pending)
      : condition('Distributed', distribution.valid ? 'True' : 'False', distribution),
  ];
}

function measure({ metrics }: ControllerDeps) {
  const valid = metrics.gauge('klar_flags_source_valid', '1 while the source ConfigMap is good and taken.');
  const sequence = metrics.gauge('klar_flags_applied_sequence', 'Sequence of the flag set that is live.');
  const stored = metrics.gauge('klar_flags_database_current', '1 while the database has the set that is live.');
  const pods = metrics.gauge('klar_flags_pods', 'Ready pods by what they run of the live set.', ['state']);
  const seconds = metrics.histogram(
    'klar_flags_distribution_seconds',
    'From applying a set until every ready pod was seen with it.',
    [],
    [0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 120],
  );
  return {
    applied({ plan, databaseProblem }: Applied) {
      valid.set(plan.source.valid ? 1 : 0);
      sequence.set(plan.target?.sequence ?? 0);
      stored.set(databaseProblem === undefined ? 1 : 0);
    },
    pods({ current, lagging, silent }: { current: number; lagging: unknown[]; silent: unknown[] }) {
      pods.set({ state: 'current' }, current);
      pods.set({ state: 'lagging' }, lagging.length);
      pods.set({ state: 'silent' }, silent.length);
    },
    distributed: (s: number) => seconds.observe(s),
  };
}
