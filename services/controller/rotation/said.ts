import {
  canGoBack,
  KINDS,
  type Kind,
  newValueInUse,
  notPossible,
  type Policy,
  type RotationRow,
  type Step,
} from '#domain/secrets/index.ts';
import type { Logger } from '#platform/log/index.ts';

/** What is said of one secret: a CamelCase word, and what is so and what mends it. Never a value. */
export type Said = { reason: string; message: string };

/** What happened to one secret, for an Event. Never a value. */
export type Notice = {
  secret: string;
  type: 'Normal' | 'Warning';
  /** One CamelCase word. */
  reason: string;
  /** What was done or tried, one CamelCase word. */
  action: 'Start' | 'Step' | 'End' | 'Refuse' | 'Observe';
  note: string;
};

/** Somebody has to do something about these. */
const BAD = new Set([
  'Abandoned',
  'Gone',
  'NotPossible',
  'OldValueAlive',
  'OldValueRevived',
  'PreviousInUse',
  'StepFailed',
]);

/** What a rotation cannot go on from by itself: it holds up no other one. */
const HELD = new Set(['Gone', 'ManagedElsewhere', 'NotPossible']);

export const isBad = (reason: string): boolean => BAD.has(reason);
export const isHeld = (reason: string | undefined): boolean => reason !== undefined && HELD.has(reason);

export const elsewhere = (by: string): Said => ({
  reason: 'ManagedElsewhere',
  message: `${by} manages it, and would undo a rotation: rotate it there. It is left alone here.`,
});

/** A rotation runs, and the secret is not ours to change any more. */
export const held = (secret: string, by: string | undefined): Said =>
  by === undefined
    ? {
        reason: 'Gone',
        message: `The secret is gone while it is rotated: put ${secret} back, or klar rotate ${secret} --cancel.`,
      }
    : {
        reason: 'ManagedElsewhere',
        message: `${by} manages it since the rotation began: take that away, or klar rotate ${secret} --cancel.`,
      };

/** What `klar rotate` would take in that step; nothing from retiring on. */
const wayBack = (secret: string, step: Step): string =>
  !canGoBack(step) ? '' : `, or klar rotate ${secret} ${newValueInUse(step) ? '--rollback' : '--cancel'}`;

/** A rotation runs, and its provider is not set up any more. */
export const without = ({ secret, kind, step }: RotationRow): Said => ({
  reason: 'NotPossible',
  message: `${notPossible(kind as Kind)}${wayBack(secret, step)}.`,
});

export const previousInUse = (secret: string): Said => ({
  reason: 'PreviousInUse',
  message: `A previous value is accepted that no rotation put there: remove ${secret}.previous once nobody uses it.`,
});

/** A value that a rotation ended is back: whoever wrote it does so again after every rotation, so none is started. */
export const revived = (secret: string, rotation: string, by: string | undefined): Said => ({
  reason: 'OldValueRevived',
  message:
    `A value that ${rotation} ended is back: ${by ?? 'somebody (GitOps, kubectl apply, a restored backup)'} wrote it. Where a ` +
    `provider checks it, it is refused. Take ${secret} out of what writes it, and then klar rotate ${secret} --emergency.`,
});

/** @param policy of a secret at rest; @returns why nothing can rotate it, if that is so */
export const impossible = (policy: Policy, kinds: Readonly<Record<Kind, unknown>>): string | undefined =>
  policy.kind in KINDS && policy.kind !== 'manual' && kinds[policy.kind] === undefined
    ? notPossible(policy.kind)
    : undefined;

/** Says it where people look: a warning in the log, and an Event where there are any. */
export function tellNotice(parts: { log: Logger; notice?: ((notice: Notice) => void) | undefined }, notice: Notice) {
  if (notice.type === 'Warning') {
    parts.log.warn('rotation needs somebody', { setting: notice.secret, reason: notice.reason, why: notice.note });
  }
  parts.notice?.(notice);
}
