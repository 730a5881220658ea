import { createHash } from 'node:crypto';

export type SecretValue = {
  value: string;
  /** Names a value without telling it: the `generation` file beside it, else eight hex digits of a digest. */
  generation: string;
};

/** A secret that may change while the process runs: sign with `current()`, accept every one of `accepted()`. */
export type Secret = {
  readonly name: string;
  /** @throws never: the last good value stays when a file vanishes or is broken. */
  current(): string;
  /** The current value first, then the previous one while a rotation soaks. */
  accepted(): SecretValue[];
  generation(): string;
  readonly origin: 'file' | 'env' | 'generated';
  /** Says that a generation was used: a signature checked, a token matched. A rotation ends only the unused. */
  used(generation: string): void;
  uses(): SecretUse[];
  /** Called after each change of the accept-set. Returns how to stop listening. */
  onChange(fn: () => void): () => void;
  /** Node's inspection and JSON.stringify would otherwise print the value into a log or an error. */
  toJSON(): string;
};

/** How an accepted generation was used in this process. */
export type SecretUse = {
  generation: string;
  uses: number;
  /**
   * Seconds since it was last used or was the current one here, by the monotonic clock: a step of the wall clock makes
   * nothing look unused.
   */
  idleS: number;
};

export type SecretControl = { secret: Secret; replace(values: [SecretValue, ...SecretValue[]]): boolean };

export function makeSecret(
  name: string,
  origin: Secret['origin'],
  first: [SecretValue, ...SecretValue[]],
): SecretControl {
  let values = first;
  const listeners = new Set<() => void>();
  const seconds = () => performance.now() / 1_000;
  const began = seconds();
  const uses = new Map<string, { uses: number; lastAt: number }>();
  const useOf = (generation: string) => {
    const use = uses.get(generation) ?? { uses: 0, lastAt: began };
    uses.set(generation, use);
    return use;
  };
  const secret: Secret = {
    name,
    origin,
    current: () => values[0].value,
    accepted: () => [...values],
    generation: () => values[0].generation,
    used(generation) {
      // What is not accepted cannot have been used, and must not fill the memory.
      if (!values.some((one) => one.generation === generation)) return;
      const use = useOf(generation);
      use.uses += 1;
      use.lastAt = seconds();
    },
    uses: () =>
      values.map(({ generation }, index) => {
        const { uses, lastAt } = useOf(generation);
        return { generation, uses, idleS: index === 0 ? 0 : seconds() - lastAt };
      }),
    onChange(fn) {
      listeners.add(fn);
      return () => listeners.delete(fn);
    },
    toJSON: () => `[secret ${name}]`,
  };
  Object.defineProperty(secret, Symbol.for('nodejs.util.inspect.custom'), { value: secret.toJSON });
  return {
    secret,
    replace(next) {
      const same = JSON.stringify(next) === JSON.stringify(values);
      if (same) return false;
      // What was handed out under it may still be on its way, whoever used it last.
      useOf(values[0].generation).lastAt = seconds();
      values = next;
      for (const generation of uses.keys()) {
        if (!next.some((one) => one.generation === generation)) uses.delete(generation);
      }
      for (const listener of listeners) listener();
      return true;
    },
  };
}

/** A secret with a fixed value, e.g. for tests. */
export function fixedSecret(
  name: string,
  value: string,
  origin: Secret['origin'] = 'env',
  generation = digestGeneration(name, value),
): Secret {
  return makeSecret(name, origin, [{ value, generation }]).secret;
}

/** 32 bits: enough to tell generations apart, too few to confirm a guess of a good secret. */
export function digestGeneration(name: string, value: string): string {
  return createHash('sha256').update(`${name}\u0000${value}`).digest('hex').slice(0, 8);
}
