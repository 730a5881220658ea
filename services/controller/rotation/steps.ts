import { rotationStore, type Step } from '#domain/secrets/index.ts';
import { digestGeneration } from '#platform/config/index.ts';
import { failpoint } from '#platform/failpoint/index.ts';
import type { KindAdapter, StepInput } from './kind.ts';
import type { Kept, SecretStore, SlotValues, StoredSecret } from './secret-store.ts';

export type ActInput = Omit<StepInput, 'from' | 'to' | 'values' | 'key'> & {
  stored: StoredSecret;
  store: SecretStore;
  kind: KindAdapter;
};

type Effect = (act: ActInput, input: StepInput) => Promise<string | undefined>;

const put = (act: ActInput, values: SlotValues) => act.store.write(act.name, values, act.stored.version, act.signal);

function fresh(name: string, value: string, values: SlotValues): Kept {
  const generation = digestGeneration(name, value);
  if (generation === values.current.generation) throw new Error('the new value has the generation of the old one');
  return { value, generation };
}

/** Keeps a new value in `next`, where a resumed step finds it: it is made once. */
async function keepNext(act: ActInput, value: string): Promise<void> {
  await put(act, { ...act.stored.values, next: fresh(act.name, value, act.stored.values) });
}

/** Of each step what it does. Every one may have happened already, wholly or in part. */
const EFFECTS: Readonly<Record<Step, Effect>> = {
  async creating(act, input) {
    if (act.kind.create === undefined) return 'the provider makes the value';
    if (act.stored.values.next === undefined) await keepNext(act, await act.kind.create(input));
    return undefined;
  },
  async provisioning(act, input) {
    const value = await act.kind.provision?.(input);
    failpoint('rotation.provisioning.half');
    if (value !== undefined && act.stored.values.next?.value !== value) await keepNext(act, value);
    return undefined;
  },
  async distributing(act) {
    const { next, ...rest } = act.stored.values;
    if (next !== undefined) await put(act, { ...rest, previous: next });
    return undefined;
  },
  async testing(act, input) {
    await act.kind.test?.(input);
    return undefined;
  },
  async activating(act, input) {
    const { current, previous, ...rest } = act.stored.values;
    if (current.generation !== act.rotation.to && previous !== undefined) {
      await put(act, { ...rest, current: previous, previous: current });
    }
    failpoint('rotation.activating.half');
    await act.kind.activated?.(input);
    return undefined;
  },
  async soaking(act, input) {
    await act.kind.drain?.(input);
    return undefined;
  },
  async retiring(act, input) {
    await act.kind.retire?.(input);
    failpoint('rotation.retiring.half');
    const { previous, ...rest } = act.stored.values;
    if (previous !== undefined) await put(act, { ...rest, retired: previous });
    return undefined;
  },
  async verifying(act, input) {
    await act.kind.prove(input);
    return 'the old value was used, and refused';
  },
  async reverting(act, input) {
    const { current, previous, ...rest } = act.stored.values;
    if (current.generation === act.rotation.to && previous !== undefined) {
      await put(act, { ...rest, current: previous, previous: current });
    }
    await act.kind.reverted?.(input);
    return undefined;
  },
  async draining(act, input) {
    if (act.rotation.wasActive) await act.kind.drain?.(input);
    return undefined;
  },
  async withdrawing(act, input) {
    await act.kind.withdraw?.(input);
    const { current, previous, next } = act.stored.values;
    // Kept until no pod accepts it: `withdrawn` may have to read once more what was made under it.
    if (previous !== undefined) await put(act, { current, retired: previous });
    else if (next !== undefined) await put(act, { current });
    return undefined;
  },
};

/** The effect of the step the rotation is in, and the record of it. */
export async function act(input: ActInput, token: number): Promise<void> {
  const { rotation, name, db, fence } = input;
  const { step } = rotation;
  failpoint(`rotation.${step}.begin`);
  const note = await EFFECTS[step](input, stepInput(input));
  failpoint(`rotation.${step}.effect`);
  const after = await input.store.read(name, input.signal);
  const to = rotation.to ?? after?.values.next?.generation ?? null;
  await db.withTx(async (tx) => {
    await fence(tx);
    await rotationStore.acted(tx, rotation, to, note ?? null, token);
  });
  failpoint(`rotation.${step}.record`);
}

/** What the adapter of a kind is given, from the places as they are. */
export function stepInput({ rotation, name, stored, signal, db, fence }: ActInput): StepInput {
  const { values } = stored;
  const all = Object.values(values) as Kept[];
  const named = (generation: string | null) => all.find((kept) => kept.generation === generation)?.value;
  return {
    rotation,
    name,
    values,
    from: named(rotation.from) ?? '',
    to: rotation.to === null ? values.next?.value : named(rotation.to),
    signal,
    db,
    fence,
    key: `${rotation.id}/${rotation.step}`,
  };
}

/** The last thing of a rotation: what was kept for it goes, what is in use stays. */
export async function clear(
  store: SecretStore,
  name: string,
  stored: StoredSecret,
  signal: AbortSignal,
): Promise<void> {
  const { retired, next, ...rest } = stored.values;
  if (retired !== undefined || next !== undefined) await store.write(name, rest, stored.version, signal);
}
