/** A `coordination.k8s.io/v1` Lease, as far as an election reads it. */
export type Lease = {
  apiVersion?: 'coordination.k8s.io/v1';
  kind?: 'Lease';
  metadata: { name: string; namespace?: string; resourceVersion?: string };
  spec?: {
    holderIdentity?: string | null;
    leaseDurationSeconds?: number | null;
    acquireTime?: string | null;
    renewTime?: string | null;
    leaseTransitions?: number | null;
  };
};

export type LeaseLimits = {
  /** Others wait so long after the last change they saw. */
  durationMs: number;
  /** The holder itself gives up so long after it sent its last renewal that succeeded: earlier than others begin. */
  deadlineMs: number;
  /** A renewal and a candidate's look; 12 + 2 + 2 s and the requests stay below 20 s of takeover. */
  everyMs: number;
  requestMs: number;
};

export const LEASE_LIMITS: LeaseLimits = { durationMs: 12_000, deadlineMs: 8_000, everyMs: 2_000, requestMs: 4_000 };

/** A lease with a duration that somebody mistyped must not keep everybody out for a day. */
const DURATION_MAX_MS = 60_000;

/** What a candidate knows: the lease as read, and since when (monotonic) its content has not changed. */
export type Observed = { lease: Lease | undefined; unchangedSince: number };

export type Decision =
  | { do: 'create' }
  | { do: 'acquire'; resourceVersion: string; token: number }
  | { do: 'wait'; ms: number };

/** Whatever a renewal changes. Not the resourceVersion: an annotation on a dead holder's lease is no sign of life. */
export const lifeSign = (lease: Lease | undefined): string =>
  JSON.stringify([lease?.spec?.holderIdentity, lease?.spec?.renewTime, lease?.spec?.leaseTransitions]);

/**
 * What a candidate does about what it saw. Times in the lease are never compared with a clock of ours: nodes differ,
 * and clocks step. Only how long it stayed the same counts, by our own monotonic time.
 */
export function decideLease(observed: Observed, me: string, now: number, limits: LeaseLimits): Decision {
  const { lease, unchangedSince } = observed;
  if (!lease) return { do: 'create' };
  const { holderIdentity, leaseDurationSeconds, leaseTransitions } = lease.spec ?? {};
  const theirs = Math.min((leaseDurationSeconds ?? 0) * 1_000, DURATION_MAX_MS);
  const freeAt = unchangedSince + Math.max(theirs, limits.durationMs);
  // Held by nobody: given back. By us: an answer to our own attempt that was lost; the name is this process's alone.
  const free = !holderIdentity || holderIdentity === me || now >= freeAt;
  if (!free) return { do: 'wait', ms: Math.min(freeAt - now, limits.everyMs) };
  return {
    do: 'acquire',
    resourceVersion: lease.metadata.resourceVersion ?? '',
    token: (leaseTransitions ?? 0) + 1,
  };
}

const TOKEN_EPOCH_MS = Date.UTC(2025, 0, 1);

/**
 * The first token of a lease that did not exist: seconds since 2025. Terms are seconds apart at least, so a lease that
 * somebody deleted goes on above every token it ever gave out, and the number fits the field (int32) until 2093.
 */
export const firstToken = (now: Date): number => Math.max(1, Math.floor((now.getTime() - TOKEN_EPOCH_MS) / 1_000));

/** What the holder concludes from the lease it finds after a refused renewal. */
export function stillOurs(lease: Lease, me: string, token: number): boolean {
  return lease.spec?.holderIdentity === me && lease.spec.leaseTransitions === token;
}
