/** A value and the generation that names it. */
export type Kept = { value: string; generation: string };

/**
 * The places of one secret. Processes are given `current` and `previous` alone: `next` waits to be accepted, and `retired`
 * is kept until its death is proven by using it.
 */
export type SlotValues = { current: Kept; previous?: Kept; next?: Kept; retired?: Kept };

export type StoredSecret = {
  values: SlotValues;
  /** What was read: a write that carries another version than the store has is refused. */
  version: string;
  /** Who else manages it, in words: it is left alone. */
  managedBy?: string;
};

/** Where secrets live: a Kubernetes Secret, or a folder. New values exist here and nowhere else. */
export type SecretStore = {
  /** Names that have a current value. */
  names(signal: AbortSignal): Promise<string[]>;
  read(name: string, signal: AbortSignal): Promise<StoredSecret | undefined>;
  /** All places of the secret at once. @throws SecretConflict when it was changed since it was read */
  write(name: string, values: SlotValues, version: string, signal: AbortSignal): Promise<void>;
};

export class SecretConflict extends Error {
  constructor(name: string) {
    super(`${name} was changed since it was read`);
    this.name = 'SecretConflict';
  }
}

export const SLOTS = ['current', 'previous', 'next', 'retired'] as const;
