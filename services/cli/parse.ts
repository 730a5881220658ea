import { parseArgs } from 'node:util';
import { didYouMean } from '#platform/config/index.ts';
import { type Command, type CommandEntry, type OptionValue, UsageError } from './command.ts';

/** Finds the command that the first one or two words name. @throws UsageError that lists what there is. */
export function findCommand(
  argv: string[],
  commands: readonly CommandEntry[],
): { entry: CommandEntry; rest: string[] } {
  const words = argv.filter((word) => !word.startsWith('-'));
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ');
    const entry = commands.find((command) => command.name === name);
    if (!entry) continue;
    const rest = [...argv];
    for (const word of words.slice(0, length)) rest.splice(rest.indexOf(word), 1);
    return { entry, rest };
  }
  const names = commands.map(({ name }) => name);
  const group = commands.filter(({ name }) => name.startsWith(`${words[0]} `));
  if (group.length > 0) {
    const has = words[1]
      ? `"klar ${words[0]}" has no command "${words[1]}".`
      : `"klar ${words[0]}" needs one more word.`;
    throw new UsageError(has, `There is: ${group.map(({ name }) => `klar ${name}`).join(', ')}`);
  }
  const meant = didYouMean(words.slice(0, 2).join(' '), names) ?? didYouMean(words[0] ?? '', names);
  throw new UsageError(
    `There is no command "${words.slice(0, 2).join(' ')}".`,
    `${meant ? `Did you mean "klar ${meant}"? ` : ''}There is: ${names.join(', ')}`,
  );
}

export type ParsedCall = { options: Record<string, OptionValue>; arguments: string[]; json: boolean; help: boolean };

/** Parses what stands behind the command's name. @throws UsageError that lists the options there are. */
export function parseCall(entry: CommandEntry, command: Command, rest: string[]): ParsedCall {
  const specs = command.options ?? {};
  const known = [...Object.keys(specs), 'json', 'help'];
  const hint = `klar ${entry.name} takes: ${known.map((name) => `--${name}`).join(', ')}`;
  let parsed: { values: Record<string, OptionValue>; positionals: string[] };
  try {
    parsed = parseArgs({
      args: rest,
      allowPositionals: true,
      strict: true,
      options: {
        ...Object.fromEntries(
          Object.entries(specs).map(([name, { type, short, multiple = false }]) => [
            name,
            short ? { type, short, multiple } : { type, multiple },
          ]),
        ),
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }) as typeof parsed;
  } catch (error) {
    const wrong = /^Unknown option '(--?[^']+)'/.exec((error as Error).message)?.[1];
    if (!wrong) throw new UsageError((error as Error).message.split('. ')[0] ?? 'Wrong options', hint);
    const meant = didYouMean(wrong.replace(/^-+/, ''), known);
    throw new UsageError(`There is no option ${wrong}.`, `${meant ? `Did you mean --${meant}? ` : ''}${hint}`);
  }
  const { json, help, ...options } = parsed.values;
  for (const [name, spec] of Object.entries(specs)) {
    for (const value of [options[name] ?? []].flat()) {
      if (spec.choices && !spec.choices.includes(String(value))) {
        throw new UsageError(`--${name} cannot be "${value}".`, `It is one of: ${spec.choices.join(', ')}`);
      }
    }
  }
  if (help !== true) checkArguments(entry, command, parsed.positionals);
  return { options, arguments: parsed.positionals, json: json === true, help: help === true };
}

function checkArguments(entry: CommandEntry, command: Command, given: string[]): void {
  const wanted = command.arguments ?? [];
  const least = wanted.filter(({ name }) => !name.endsWith('?')).length;
  const open = wanted.at(-1)?.name.includes('...') ?? false;
  const usage = `Usage: klar ${[entry.name, ...wanted.map(({ name }) => `<${name}>`)].join(' ')}`;
  if (given.length < least) throw new UsageError(`<${wanted[given.length]?.name}> is missing.`, usage);
  if (!open && given.length > wanted.length)
    throw new UsageError(`"${given[wanted.length]}" is one argument too many.`, usage);
}
