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
  /** A candidate's request. A renewal has less: `renewalMs`. */
  requestMs: number;
};

export const LEASE_LIMITS: LeaseLimits = { durationMs: 12_000, deadlineMs: 8_000, everyMs: 2_000, requestMs: 4_000 };

/** A lease with a duration that somebody mistyped must not keep everybody out for a day. */
const DURATION_MAX_MS = 60_000;

/** What a candidate knows: the lease as read, and since when (monotonic) its content has not changed. */
export type Observed = { lease: Lease | undefined; unchangedSince: number };

export type Decision =
  | { do: 'create'; token: number }
  | { do: 'acquire'; resourceVersion: string; token: number }
  | { do: 'wait'; ms: number };

/** Whatever a renewal changes. Not the resourceVersion: an annotation on a dead holder's lease is no sign of life. */
export const lifeSign = (lease: Lease | undefined): string =>
  JSON.stringify([lease?.spec?.holderIdentity, lease?.spec?.renewTime, lease?.spec?.leaseTransitions]);

/**
 * What a candidate does about what it saw. Times in the lease are never compared with a clock of ours: nodes differ,
 * and clocks step. Only how long it stayed the same counts, by our own monotonic time.
 * @param floor the smallest token that a new term may have (`nextToken`), whatever the lease says
 */
export function decideLease(observed: Observed, me: string, now: number, limits: LeaseLimits, floor: number): Decision {
  const { lease, unchangedSince } = observed;
  if (!lease) return { do: 'create', token: floor };
  const { holderIdentity, leaseDurationSeconds, leaseTransitions } = lease.spec ?? {};
  const theirs = Math.min((leaseDurationSeconds ?? 0) * 1_000, DURATION_MAX_MS);
  const freeAt = unchangedSince + Math.max(theirs, limits.durationMs);
  // Held by nobody: given back. By us: an answer to our own attempt that was lost; the name is this process's alone.
  const free = !holderIdentity || holderIdentity === me || now >= freeAt;
  if (!free) return { do: 'wait', ms: Math.min(freeAt - now, limits.everyMs) };
  return {
    do: 'acquire',
    resourceVersion: lease.metadata.resourceVersion ?? '',
    token: Math.max((leaseTransitions ?? 0) + 1, floor),
  };
}

const TOKEN_EPOCH_MS = Date.UTC(2025, 0, 1);

/** Below the field's own limit (int32), so that a clock set to the next century leaves a million terms. */
const TIME_TOKEN_MAX = 2 ** 31 - 2 ** 20;

/**
 * The smallest token that a term may have: seconds since 2025, and above every token that was seen. Terms are seconds
 * apart at least, so that a lease which somebody deleted, or which came back old with a restored etcd, goes on above
 * every token it ever gave out. Where the clock was ahead then, the store that refuses the token says what it has seen.
 * Fits the field (int32) until 2093.
 */
export function nextToken(now: Date, greatestSeen: number): number {
  const seconds = Math.floor((now.getTime() - TOKEN_EPOCH_MS) / 1_000);
  return Math.max(1, Math.min(seconds, TIME_TOKEN_MAX), greatestSeen + 1);
}

/**
 * How long a renewal may take: half of what is left, so that two or three tries fit before the holder gives up. One
 * request that hangs is a connection gone bad, and no reason to end a term.
 */
export const renewalMs = (leftMs: number, limits: LeaseLimits): number =>
  Math.max(1, Math.min(limits.requestMs, leftMs / 2));

/** What the holder concludes from the lease it finds after a refused renewal. */
export function stillOurs(lease: Lease, me: string, token: number): boolean {
  return lease.spec?.holderIdentity === me && lease.spec.leaseTransitions === token;
}
