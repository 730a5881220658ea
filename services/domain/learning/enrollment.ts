/** Who granted an enrollment: a paid order, an accepted invitation, or an administrator by hand. */
export const SOURCE_KINDS = ['order', 'invitation', 'admin'] as const;

export interface EnrollmentSource {
  readonly kind: (typeof SOURCE_KINDS)[number];
  /** Order id, invitation id, or the id of who granted it. */
  readonly id: string;
}

export interface Enrollment {
  readonly id: string;
  readonly course_id: string;
  readonly person_id: string;
  readonly status: 'active' | 'revoked';
  readonly source_kind: EnrollmentSource['kind'];
  readonly source_id: string;
  readonly created_at: Date;
  readonly updated_at: Date;
}

/**
 * What a grant did: `granted` (new, or given back after a revocation), `repeated` (this source had granted it before),
 * `already_had` (another source had).
 */
export type GrantOutcome = 'granted' | 'repeated' | 'already_had';

/** @param existing the row as found when nothing was written; undefined when the grant wrote it */
export function grantOutcome(existing: Enrollment | undefined, source: EnrollmentSource): GrantOutcome {
  if (existing === undefined) return 'granted';
  return existing.source_kind === source.kind && existing.source_id === source.id ? 'repeated' : 'already_had';
}
