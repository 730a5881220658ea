/** What a provider's verifier answers. A refusal is the sender's fault (400); our own fault is thrown (503). */

/** Why a request was refused: the label of `klar_ingest_refused_total`, so closed. */
export const REFUSALS = [
  'missing_signature',
  'malformed_signature',
  'bad_signature',
  'stale',
  'future',
  'malformed_body',
  'too_large',
] as const;
export type Refusal = (typeof REFUSALS)[number];

/** The little that is read of an event before it is stored. */
export type EventKey = {
  eventId: string;
  type: string;
  /** '' for the platform's own account. */
  account: string;
  livemode: boolean | null;
};

export type Verified = { ok: true; key: EventKey; generation: string } | { ok: false; reason: Refusal };

/** A secret the provider may have signed with: during a rotation there are two. */
export type AcceptedSecret = { value: string; generation: string };

export type VerifyInput = {
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The body as received, byte for byte. */
  body: Buffer;
  secrets: readonly AcceptedSecret[];
  /** Milliseconds since the epoch. */
  nowMs: number;
};

/** One row of the table of providers: where its webhooks arrive and how they are checked. */
export type Provider = {
  readonly name: string;
  readonly path: string;
  verify(input: VerifyInput): Verified;
};
