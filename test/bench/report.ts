/** One goal of a bench, whether it was met, and the number that shows it. */
export type Goal = { name: string; met: boolean; shown: string };

export type Report = { line(text: string): void };

export const stdoutReport: Report = { line: (text) => process.stdout.write(`${text}\n`) };
