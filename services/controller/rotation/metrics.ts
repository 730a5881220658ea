import { expectedS, type RotationRow } from '#domain/secrets/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';

export type RotationMetrics = ReturnType<typeof createRotationMetrics>;

/** What README.md of this folder lists; the alerts are made from it. Only the leader has values. */
export function createRotationMetrics(metrics: Metrics) {
  const step = metrics.gauge(
    'klar_rotation_step_since_timestamp_seconds',
    'When the step began in which a rotation is, in seconds since 1970. Absent: no rotation runs.',
    ['secret', 'step'],
  );
  const expected = metrics.gauge(
    'klar_rotation_step_expected_seconds',
    'How long that step takes when nothing is in its way: the soak or the silence of the policy.',
    ['secret', 'step'],
  );
  const revived = metrics.gauge(
    'klar_rotation_revived',
    '1 while a value is accepted that an earlier rotation ended: somebody wrote it back.',
    ['secret'],
  );
  const since = metrics.gauge(
    'klar_rotation_generation_since_timestamp_seconds',
    'When the value in use was first seen, in seconds since 1970.',
    ['secret'],
  );
  const due = metrics.gauge(
    'klar_rotation_due_timestamp_seconds',
    'When the next rotation is due, in seconds since 1970. Absent: none is planned.',
    ['secret'],
  );
  const valid = metrics.gauge(
    'klar_rotation_policy_valid',
    '1 while the policy document is taken, 0 while it is not.',
    ['source'],
  );
  const ended = metrics.counter('klar_rotation_ended_total', 'Rotations that ended, by outcome.', [
    'secret',
    'outcome',
  ]);
  const failed = metrics.counter('klar_rotation_step_failures_total', 'Effects of a step that failed.', [
    'secret',
    'step',
  ]);
  return {
    policy: (ok: boolean) => valid.set({ source: 'policies' }, ok ? 1 : 0),
    observed(secret: string, rotation: RotationRow | undefined, sinceAt: Date, dueAt: Date | null) {
      this.forget(secret);
      since.set({ secret }, sinceAt.getTime() / 1_000);
      if (dueAt) due.set({ secret }, dueAt.getTime() / 1_000);
      if (!rotation) return;
      const labels = { secret, step: rotation.step };
      step.set(labels, rotation.stepSince.getTime() / 1_000);
      expected.set(labels, expectedS(rotation));
    },
    revived: (secret: string, is: boolean) => revived.set({ secret }, is ? 1 : 0),
    forget(secret: string) {
      since.remove({ secret });
      due.remove({ secret });
      const steps = (step as unknown as { hashMap: Record<string, { labels: { secret: string; step: string } }> })
        .hashMap;
      for (const { labels } of Object.values(steps)) {
        if (labels.secret !== secret) continue;
        step.remove(labels);
        expected.remove(labels);
      }
    },
    /** Another one leads: what this one knew grows old. */
    reset() {
      for (const gauge of [step, expected, since, due, valid, revived]) gauge.reset();
    },
    ended: (secret: string, outcome: string) => ended.inc({ secret, outcome }),
    failed: (secret: string, at: string) => failed.inc({ secret, step: at }),
  };
}
