import { staleTerm } from '#domain/operations/index.ts';
import { rotationStore } from '#domain/secrets/index.ts';
import type { Clock } from '#platform/clock/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { createController } from '../kube/controller.ts';
import type { Timing } from '../kube/timing.ts';
import { fenced } from './fenced.ts';
import { createPolicySource, type Policies } from './policy-source.ts';
import { type RotationParts, type RotationTerm, reconcileSecret } from './reconcile.ts';
import { takeRequests } from './requests.ts';
import { createTeller, type RotationStatus } from './status.ts';

export type RotationsInput = RotationParts & {
  /** The policy document, followed. */
  policyFile: string | undefined;
  clock: Clock;
  timing: Timing;
  registry: Metrics;
  /** Told what is so of the policies and of each secret: for conditions. */
  onStatus?: ((status: RotationStatus, signal: AbortSignal) => Promise<void>) | undefined;
};

/** Not a name of a secret: the policy document, and what people ask for. */
const OVERVIEW = '@overview';
const OVERVIEW_MS = 1_000;
/** How often it is looked which secrets are gone; at once when their names change. */
const KEEP_MS = 60_000;

/**
 * Rotates what is due or asked for, for as long as a term lasts: `lead(term)` ends soon after its signal aborts. All it
 * knows it reads; a kill at any place costs nothing but time.
 */
export function createRotations(input: RotationsInput) {
  const source = createPolicySource(input.policyFile);

  /** Everything that is remembered ends with the term: another leader may have said something else meanwhile. */
  function createOverview(term: RotationTerm, add: (key: string) => void) {
    const tell = createTeller(input);
    let planned: ReadonlySet<string> = new Set();
    const tries = new Map<string, number>();
    let refused = '';
    let kept = { names: '', at: Number.NEGATIVE_INFINITY };
    return async (signal: AbortSignal): Promise<Policies> => {
      const names = await input.store.names(signal);
      const policies = await source.read(names);
      input.metrics.policy(policies.valid);
      const refusal = policies.valid ? '' : policies.message;
      if (refusal !== refused && refusal !== '')
        input.log.warn('rotation policies are not taken; those of before stay', { why: refusal });
      refused = refusal;
      const at = input.timing.monotonic();
      if (kept.names !== names.join() || at - kept.at > KEEP_MS) {
        await fenced(input, term, (tx) => rotationStore.keepStates(tx, names));
        kept = { names: names.join(), at };
      }
      const seen = await input.db.withTx(
        async (tx) => ({
          now: await rotationStore.now(tx),
          running: await rotationStore.running(tx),
          states: await rotationStore.states(tx),
        }),
        { readOnly: true },
      );
      // One that is rotated is looked at also when it is gone, and one that is back at once.
      const there = new Set([...names, ...seen.running.map(({ secret }) => secret)]);
      for (const name of there) if (!planned.has(name)) add(name);
      planned = there;
      for (const name of await takeRequests(input, term, policies.of, signal, tries)) add(name);
      term.check();
      await tell({ ...seen, policies }, signal);
      return policies;
    };
  }

  return {
    async lead(term: RotationTerm): Promise<void> {
      let policies: Policies | undefined;
      const controller = createController({
        name: 'rotation',
        clock: input.clock,
        timing: input.timing,
        log: input.log,
        metrics: input.registry,
        reconcile: (key, signal) =>
          visit(key, signal).catch((error) => {
            const greatest = staleTerm(error);
            if (greatest !== undefined) term.refused?.(greatest);
            throw error;
          }),
      });
      const overview = createOverview(term, (name) => controller.add(name));
      const visit = async (key: string, signal: AbortSignal) => {
        if (key === OVERVIEW) {
          policies = await overview(signal);
          return { afterMs: OVERVIEW_MS };
        }
        const of = policies?.of;
        if (of === undefined) return { afterMs: OVERVIEW_MS };
        return reconcileSecret(input, term, of, key, signal);
      };
      controller.add(OVERVIEW);
      try {
        await controller.run(term.signal);
      } finally {
        input.metrics.reset();
      }
    },
  };
}
