import { type Policy, type RotationRow, rotationStore } from '#domain/secrets/index.ts';
import { fenced } from './fenced.ts';
import type { RotationParts, RotationTerm } from './reconcile.ts';
import { tellNotice } from './said.ts';
import type { StoredSecret } from './secret-store.ts';
import { clear } from './steps.ts';

/** Starts a rotation. What an earlier one left unmounted goes with it, so that what is found later is this one's. */
export async function begin(
  parts: RotationParts,
  term: RotationTerm,
  policy: Policy,
  stored: StoredSecret,
  start: { by: string; reason: string | null; emergency: boolean },
  signal: AbortSignal,
): Promise<RotationRow> {
  const row = await fenced(parts, term, async (tx) => {
    const { secret, kind, soakS, quietS } = policy;
    const from = stored.values.current.generation;
    const { by: startedBy, reason, emergency } = start;
    const begun = await rotationStore.start(
      tx,
      { secret, kind, from, emergency, soakS, quietS, startedBy, reason },
      term.token,
    );
    // While the fence's row is locked: one whose term is over would take away the value that its heir has made.
    await clear(parts.store, secret, stored, signal);
    return begun;
  });
  const how = start.emergency ? ' as an emergency' : '';
  tellNotice(parts, {
    secret: row.secret,
    type: 'Normal',
    reason: 'RotationStarted',
    action: 'Start',
    note: `${row.secret}: ${row.id} began${how}, by ${start.by}.`,
  });
  return row;
}
