import { decoded } from './rules.ts';

/** What a redactor has to know of secret values: they themselves, and the passwords of those that are URLs. */
export type Redactable = {
  of(values: readonly string[]): string[];
  /** How many values are remembered. */
  size(): number;
};

/**
 * Remembers what it took out of each value, because the log asks at every line; of values that are not given any more it
 * forgets that, as in years of rotations they would become many.
 */
export function redactableValues(): Redactable {
  const known = new Map<string, string[]>();
  return {
    of(values) {
      const all = values.flatMap((value) => {
        const passwords = known.get(value) ?? passwordsOf(value);
        known.set(value, passwords);
        return [value, ...passwords];
      });
      if (known.size > new Set(values).size) {
        for (const value of known.keys()) if (!values.includes(value)) known.delete(value);
      }
      return all;
    },
    size: () => known.size,
  };
}

/** A driver quotes a password alone, without the URL around it. */
function passwordsOf(value: string): string[] {
  if (!/^[a-z]+:\/\//.test(value) || !URL.canParse(value)) return [];
  const { password, searchParams } = new URL(value);
  const given = searchParams.get('password');
  return [...(password ? [password, decoded(password)] : []), ...(given ? [given, encodeURIComponent(given)] : [])];
}
