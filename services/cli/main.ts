import { ConfigError, environment, loadSettings } from '#platform/config/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import { createLogger } from '#platform/log/index.ts';
import manifest from '../../package.json' with { type: 'json' };
import { type CommandEntry, EXIT, UsageError } from './command.ts';
import { COMMANDS } from './commands.ts';
import { explainDatabaseError } from './database-errors.ts';
import { commandHelp, overview } from './help.ts';
import { withLocalInstallation } from './local-installation.ts';
import { findCommand, parseCall } from './parse.ts';

export type CliInput = {
  argv: string[];
  env?: Record<string, string | undefined>;
  stdout: NodeJS.WritableStream;
  stderr: NodeJS.WritableStream;
  signal?: AbortSignal;
  commands?: readonly CommandEntry[];
};

/** Runs one command and resolves with its exit code; what goes wrong is told on stderr, as JSON under --json. */
export async function runCli(input: CliInput): Promise<number> {
  const { argv, stdout, stderr, commands = COMMANDS } = input;
  const env = withLocalInstallation(input.env ?? environment());
  const json = argv.includes('--json');
  const complain = (code: string, text: string, more: object = {}) =>
    stderr.write(`${json ? JSON.stringify({ error: { code, detail: text.split('\n')[0], ...more } }) : text}\n`);
  try {
    const words = argv.filter((word) => !word.startsWith('-'));
    const asksHelp = argv.includes('--help') || argv.includes('-h') || words[0] === 'help';
    if (words.length === 0 && argv.includes('--version')) {
      stdout.write(`${manifest.version}\n`);
      return EXIT.ok;
    }
    if (words.length === 0 || (words[0] === 'help' && words.length === 1)) {
      (asksHelp ? stdout : stderr).write(`${overview(commands)}\n`);
      return asksHelp ? EXIT.ok : EXIT.usage;
    }
    const { entry, rest } = findCommand(words[0] === 'help' ? words.slice(1) : argv, commands);
    const command = await entry.load();
    if (asksHelp) {
      stdout.write(`${commandHelp(entry, command)}\n`);
      return EXIT.ok;
    }
    const call = parseCall(entry, command, rest);
    return await command.run({
      options: call.options,
      arguments: call.arguments,
      json: call.json,
      answer: (value, text) =>
        stdout.write(`${call.json ? JSON.stringify(value, null, 2) : [text].flat().join('\n')}\n`),
      say: (line) => {
        if (!call.json) stdout.write(`${line}\n`);
      },
      settings: () => loadSettings('cli', env),
      env,
      log: ({ level = 'warn', redact } = {}) => createLogger({ process: 'cli', level, redact, stream: stderr }),
      signal: input.signal ?? new AbortController().signal,
    });
  } catch (error) {
    if (error instanceof UsageError) {
      complain('usage', `${error.message}\n${error.hint}`, { hint: error.hint });
      return EXIT.usage;
    }
    if (error instanceof ConfigError) {
      complain('config', error.message, { problems: error.problems });
      return EXIT.config;
    }
    // Before the errors with a meaning of their own: "try again shortly" mends no wrong password.
    const explained = explainDatabaseError(error);
    if (explained && !(error instanceof KlarError && 'exitCode' in error)) {
      complain(explained.code, explained.text);
      return EXIT.failed;
    }
    if (error instanceof KlarError) {
      complain(error.code, `${error.detail} (${error.code})`, error.extra);
      // A command with a closed list of failures gives each its own.
      const { exitCode } = error as { exitCode?: unknown };
      return typeof exitCode === 'number' ? exitCode : EXIT.failed;
    }
    complain('internal', error instanceof Error ? (error.stack ?? error.message) : String(error));
    return EXIT.failed;
  }
}

if (import.meta.main) {
  const stopped = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    // The second one ends a command that does not listen.
    process.once(signal, () => stopped.abort(new Error(signal)));
  }
  process.exitCode = await runCli({
    argv: process.argv.slice(2),
    stdout: process.stdout,
    stderr: process.stderr,
    signal: stopped.signal,
  });
}
