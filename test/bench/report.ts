/**
 * One goal of a bench, whether it was met, and the number that shows it. An end check says whether the work that was
 * measured was done at all: if it fails, so does the run.
 */
export type Goal = { name: string; met: boolean; shown: string; endCheck?: true };

export type Report = { line(text: string): void };

export const stdoutReport: Report = { line: (text) => process.stdout.write(`${text}\n`) };
