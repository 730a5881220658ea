import type { Command, CommandEntry } from './command.ts';

/** Lines of two columns, the first as wide as its widest cell. */
export function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd());
}

export function overview(commands: readonly CommandEntry[]): string {
  return [
    'Usage: klar <command> [options]',
    '',
    ...columns(commands.map(({ name, summary }) => [name, summary])),
    '',
    'Every command takes --help and --json. `klar help <command>` shows its options.',
    'Exit codes: 0 done, 1 failed, 64 called wrongly, 78 wrong settings; a command may add its own.',
  ].join('\n');
}

export function commandHelp(entry: CommandEntry, command: Command): string {
  const args = command.arguments ?? [];
  const shown = args.map(({ name }) => (name.endsWith('?') ? `[${name.slice(0, -1)}]` : `<${name}>`));
  const options: [string, string][] = Object.entries(command.options ?? {}).map(([name, spec]) => {
    const value = spec.type === 'string' ? ` <${spec.choices?.join('|') ?? spec.value ?? 'value'}>` : '';
    return [
      `${spec.short ? `-${spec.short}, ` : ''}--${name}${value}`,
      `${spec.description}${spec.multiple ? ' (may be repeated)' : ''}`,
    ];
  });
  options.push(['--json', 'Answer as one JSON document on stdout'], ['-h, --help', 'Show this']);
  return [
    `Usage: ${['klar', entry.name, ...shown, '[options]'].join(' ')}`,
    '',
    `${entry.summary}.`,
    ...(args.length > 0 ? ['', ...columns(args.map(({ name, description }) => [name, description]))] : []),
    '',
    ...columns(options),
    ...(command.notes ? ['', command.notes] : []),
  ].join('\n');
}
