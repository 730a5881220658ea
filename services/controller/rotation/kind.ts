import type { Rotation } from '#domain/secrets/index.ts';
import type { Db, Tx } from '#platform/db/index.ts';
import type { SlotValues } from './secret-store.ts';

/** What an effect of a step gets. Values never leave it: not into a log, a message or the database. */
export type StepInput = {
  rotation: Rotation;
  name: string;
  values: SlotValues;
  /** The value of before, wherever it is now. */
  from: string;
  /** The new value, once there is one. */
  to: string | undefined;
  signal: AbortSignal;
  db: Db;
  /** Checks the term in the transaction: for every write. */
  fence(tx: Tx): Promise<void>;
  /** Tells the same call from another one, across kills: of rotation and step. */
  key: string;
};

/**
 * What is special about a kind of secret. Each effect may run again after a kill at any place in it, and must then end as
 * if it had run once. What is missing is nothing to do.
 */
export type KindAdapter = {
  /** Makes the new value. Without it `provision` gets the value from the provider. */
  create?(input: StepInput): Promise<string> | string;
  /** Makes the new value known where it will be checked. Returns the value where the provider makes it. */
  provision?(input: StepInput): Promise<string | undefined>;
  /** Uses the new value; throws when it does not work. */
  test?(input: StepInput): Promise<void>;
  /** The new value is in use now. */
  activated?(input: StepInput): Promise<void>;
  /** Moves everything from the value that is about to die to the one in use, before the wait for silence. */
  drain?(input: StepInput): Promise<void>;
  /** Kills the old value where it is checked outside our pods. */
  retire?(input: StepInput): Promise<void>;
  /** Uses the old value. @throws Unproven when it still works, or nobody can be asked */
  prove(input: StepInput): Promise<void>;
  /** Undoes `activated`. */
  reverted?(input: StepInput): Promise<void>;
  /** Undoes `provision`. No pod is given the new value from then on. */
  withdraw?(input: StepInput): Promise<void>;
  /** No pod accepts the withdrawn value any more; right after this nobody has it. */
  withdrawn?(input: StepInput): Promise<void>;
  /** Who else uses a value, in words. */
  usedElsewhere?(input: StepInput, dying: string): Promise<string[]>;
};

/** The old value is not known to be dead. */
export class Unproven extends Error {
  constructor(why: string) {
    super(why);
    this.name = 'Unproven';
  }
}

/**
 * A step that is not done and has not failed: there is more than one visit may take, or it waits for somebody. The message
 * says for what. The effect is asked again a second later, and goes on where it was.
 */
export class NotYet extends Error {
  constructor(why: string) {
    super(why);
    this.name = 'NotYet';
  }
}
