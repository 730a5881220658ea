import { createHash } from 'node:crypto';

/**
 * One SQL statement with a name. The name is the metric label, the leading comment (so that
 * pg_stat_activity and the server log say who asked) and the base of the prepared statement's name.
 * `Row` is the shape of the rows it returns; it exists for the compiler only.
 */
export interface Statement<Row = Record<string, unknown>> {
  readonly name: string;
  readonly text: string;
  /** Name of the prepared statement: the statement's name plus a hash of its text. */
  readonly preparedName: string;
  readonly _row?: Row;
}

const known = new Map<string, string>();

/**
 * Declares a statement, once, at module level.
 *
 * @param name `module.verb_object`, lower case; unique in the process
 * @param text SQL with `$n` parameters only, columns listed
 * @throws TypeError when the name was used for another text: two texts under one name would share a metric, and on
 *   a pooled connection the second would run the first one's plan
 */
export function statement<Row = Record<string, unknown>>(name: string, text: string): Statement<Row> {
  if (!/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/.test(name)) {
    throw new TypeError(`statement name ${JSON.stringify(name)} must look like module.verb_object`);
  }
  const earlier = known.get(name);
  if (earlier !== undefined && earlier !== text) {
    throw new TypeError(`statement ${name} is already declared with another text`);
  }
  known.set(name, text);
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 10);
  // PostgreSQL keeps 63 bytes of a statement name.
  return { name, text: `/* ${name} */ ${text}`, preparedName: `${name.slice(0, 50)}_${hash}` };
}
