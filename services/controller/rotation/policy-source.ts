import { readFile } from 'node:fs/promises';
import { describePolicyProblem, KINDS, kindFor, type Policy, parsePolicies } from '#domain/secrets/index.ts';

/** What is known of the policies: the last good ones, and what is wrong with those that are there now. */
export type Policies = {
  valid: boolean;
  /** For a condition: what is wrong and what mends it. */
  message: string;
  /** Of a secret without one: what its kind needs, and nothing on schedule. */
  of(secret: string): Policy;
};

const HOUR_S = 3_600;

/** Follows the policy document (a mounted ConfigMap, or a file); a bad one changes nothing but what is said of it. */
export function createPolicySource(file: string | undefined) {
  let good: ReadonlyMap<string, Policy> = new Map();
  const of = (secret: string): Policy => {
    const kind = kindFor(secret);
    const none = { secret, kind, periodS: 0, soakS: HOUR_S, quietS: KINDS[kind].quietS, jitterS: 0, blackout: [] };
    return good.get(secret) ?? { ...none, enabled: false };
  };
  return {
    /** @param present names of the secrets that exist */
    async read(present: readonly string[]): Promise<Policies> {
      if (file === undefined) {
        return { valid: false, message: 'There are no policies: set KLAR_ROTATION_FILE.', of };
      }
      let text: string;
      try {
        text = await readFile(file, 'utf8');
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        return { valid: false, message: `${file} cannot be read (${code}): put the policies there.`, of };
      }
      const result = parsePolicies(text, present);
      if (!result.ok) return { valid: false, message: result.problems.map(describePolicyProblem).join(' '), of };
      good = result.policies;
      return { valid: true, message: `${good.size} policies`, of };
    },
  };
}
