import type { Environment, Settings } from '#platform/config/index.ts';
import type { Logger, LogLevel } from '#platform/log/index.ts';

export type OptionSpec = {
  type: 'string' | 'boolean';
  description: string;
  /** How the value is called in the help, e.g. `id`. */
  value?: string;
  short?: string;
  multiple?: boolean;
  /** The only values that are taken. */
  choices?: readonly string[];
};

export type OptionValue = string | boolean | string[] | undefined;

/**
 * One command, e.g. `webhooks replay`. `--help` and `--json` are given to every command by the frame.
 * With `--json` stdout holds exactly one JSON document.
 */
export type Command = {
  options?: Record<string, OptionSpec>;
  /** Names of the positional arguments in order; the last may end in `...`, an optional one in `?`. */
  arguments?: { name: string; description: string }[];
  /** Shown under the help. */
  notes?: string;
  /** Resolves with the exit code (EXIT.ok when all went well). Throws KlarError or ConfigError for what a person can mend. */
  run(input: CommandInput): Promise<number>;
};

export type CommandInput = {
  options: Record<string, OptionValue>;
  arguments: string[];
  json: boolean;
  /** What the command answers: the object under --json, the text (or lines) otherwise. */
  answer(value: unknown, text: string | string[]): void;
  /** Progress for people; nothing under --json. */
  say(line: string): void;
  /** Settings of the CLI; @throws ConfigError, which exits 78. */
  settings(): Settings;
  /** The environment the settings come from. */
  env: Environment;
  /** Logs go to stderr, so that stdout stays the answer; warnings and errors unless said otherwise. */
  log(options?: { level?: LogLevel | 'silent'; redact?: () => Iterable<string> }): Logger;
  signal: AbortSignal;
};

/** A row of the command table: what the overview shows, and where the rest is. Loaded only when it runs. */
export type CommandEntry = { name: string; summary: string; load: () => Promise<Command> };

/** The command was called wrongly; EX_USAGE of sysexits.h. */
export class UsageError extends Error {
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.name = 'UsageError';
    this.hint = hint;
  }
}

/** `later` (EX_TEMPFAIL): nothing was done, and the same call succeeds later; a CronJob tries again at no cost. */
export const EXIT = { ok: 0, failed: 1, usage: 64, later: 75, config: 78 } as const;
