import { deepEqual } from 'node:assert/strict';
import { setCondition } from '../../../services/controller/kube/conditions.ts';
import { conditionsOf } from '../../../services/controller/rotation/status.ts';

describe('conditions of secrets', () => {
  it('say of each what is so and since which value, as the status takes them', () => {
    const since = new Date('2026-05-01T00:00:00.900Z');
    const told = conditionsOf({
      policies: { valid: false, message: 'policies has no policy for X.' },
      secrets: [
        { secret: 'ADMIN_TOKEN', healthy: false, reason: 'NotPossible', message: 'set it', since },
        { secret: 'AUTH_JWT_KEY', healthy: true, reason: 'Idle', message: 'not due yet', since },
      ],
    });
    const all = told.reduce<readonly Parameters<typeof setCondition>[0][number][]>(
      (before, condition) => setCondition(before, condition, since),
      [],
    );
    deepEqual(
      all.map(({ type, status, reason, observedGeneration }) => [type, status, reason, observedGeneration]),
      [
        ['ADMIN_TOKEN.Healthy', 'False', 'NotPossible', 1_777_593_600],
        ['AUTH_JWT_KEY.Healthy', 'True', 'Idle', 1_777_593_600],
        ['PoliciesAccepted', 'False', 'Invalid', 0],
      ],
    );
  });
});
