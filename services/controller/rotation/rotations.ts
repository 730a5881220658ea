import { staleTerm } from '#domain/operations/index.ts';
import { rotationStore } from '#domain/secrets/index.ts';
import type { Clock } from '#platform/clock/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { createController } from '../kube/controller.ts';
import type { Timing } from '../kube/timing.ts';
import { createPolicySource, type Policies } from './policy-source.ts';
import { type RotationParts, type RotationTerm, reconcileSecret } from './reconcile.ts';
import { takeRequests } from './requests.ts';

export type RotationsInput = RotationParts & {
  /** The policy document, followed. */
  policyFile: string | undefined;
  clock: Clock;
  timing: Timing;
  registry: Metrics;
  /** Told when the document is or is not taken: for a condition. */
  onPolicy?: ((policies: Pick<Policies, 'valid' | 'message'>, signal: AbortSignal) => Promise<void>) | undefined;
};

/** Not a name of a secret: the policy document, and what people ask for. */
const OVERVIEW = '@overview';
const OVERVIEW_MS = 1_000;

/**
 * Rotates what is due or asked for, for as long as a term lasts: `lead(term)` ends soon after its signal aborts. All it
 * knows it reads; a kill at any place costs nothing but time.
 */
export function createRotations(input: RotationsInput) {
  const source = createPolicySource(input.policyFile);
  let said = '';

  async function overview(
    term: RotationTerm,
    signal: AbortSignal,
    planned: ReadonlySet<string>,
    add: (key: string) => void,
  ): Promise<Policies> {
    const names = await input.store.names(signal);
    const policies = await source.read(names);
    input.metrics.policy(policies.valid);
    const now = `${policies.valid} ${policies.message}`;
    if (now !== said) {
      if (!policies.valid)
        input.log.warn('rotation policies are not taken; those of before stay', { why: policies.message });
      await input.onPolicy?.(policies, signal);
      said = now;
      await input.db.withTx(async (tx) => {
        await input.fence(tx, term.token);
        await rotationStore.keepStates(tx, names);
      });
    }
    for (const name of names) if (!planned.has(name)) add(name);
    for (const name of await takeRequests(input, term, policies.of, signal)) add(name);
    return policies;
  }

  return {
    async lead(term: RotationTerm): Promise<void> {
      const planned = new Set<string>();
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
      const visit = async (key: string, signal: AbortSignal) => {
        if (key === OVERVIEW) {
          policies = await overview(term, signal, planned, (name) => {
            controller.add(name);
            planned.add(name);
          });
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
