export type Path = readonly (string | number)[];

/** What is wrong with a flag document, where, and what to do about it. */
export type FlagProblem = {
  /** E.g. `flags.checkout-enabled.variants`; empty for the document as a whole. */
  path: string;
  /** Counted from 1; absent where there is no text, or where something is missing from it altogether. */
  line?: number;
  column?: number;
  problem: string;
  mend: string;
};

export const at = (
  path: Path,
  problem: string,
  mend: string,
  place?: { line: number; column: number },
): FlagProblem => ({ path: path.join('.'), ...place, problem, mend });

/** One line for logs, conditions and terminals. */
export const describeProblem = ({ path, line, column, problem, mend }: FlagProblem): string =>
  `${path || 'the document'}${line === undefined ? '' : ` (line ${line}, column ${column})`} ${problem}. ${mend}`;
