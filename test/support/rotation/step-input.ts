import type { Rotation } from '#domain/secrets/index.ts';
import type { Db } from '#platform/db/index.ts';
import type { StepInput } from '../../../services/controller/rotation/kind.ts';
import type { SlotValues } from '../../../services/controller/rotation/secret-store.ts';

/** What a kind is given in a step, for tests that call it without the machine around it. */
export function stepInputFor(
  given: Partial<Rotation> & { name: string; db: Db; values: SlotValues; signal?: AbortSignal },
): StepInput {
  const { name, db, values, signal = new AbortController().signal, ...rest } = given;
  const rotation: Rotation = {
    id: 'rot_1',
    secret: name,
    kind: 'manual',
    step: 'creating',
    acted: false,
    stepSince: new Date(),
    from: 'old',
    to: 'new',
    emergency: false,
    soakS: 0,
    quietS: 1,
    wasActive: false,
    back: false,
    ...rest,
  };
  const named = (generation: string | null) =>
    Object.values(values).find((kept) => kept.generation === generation)?.value;
  return {
    rotation,
    name,
    values,
    from: named(rotation.from) ?? '',
    to: named(rotation.to),
    signal,
    db,
    fence: async () => {},
    key: `${rotation.id}/${rotation.step}`,
  };
}
