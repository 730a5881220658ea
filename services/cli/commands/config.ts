import {
  type Inspection,
  inspectSettings,
  PROCESSES,
  type Problem,
  type ProcessName,
  type TableRow,
} from '#platform/config/index.ts';
import { createRedactor } from '#platform/log/index.ts';
import { type Command, EXIT } from '../command.ts';

/** What a deployment consists of; without --process a check covers all three. */
const DEPLOYED: readonly ProcessName[] = ['api', 'webhook-ingest', 'worker'];

/** `klar config check`: exit 78 when anything is wrong, with every problem and its mend. */
export const configCheck: Command = {
  options: {
    process: {
      type: 'string',
      multiple: true,
      choices: PROCESSES,
      description: `Check what this process reads; without it ${DEPLOYED.join(', ')}`,
    },
  },
  notes: 'Values of secrets are never shown, only the generation that is loaded.',
  async run({ options, env, answer }) {
    const names = (options.process as ProcessName[] | undefined) ?? DEPLOYED;
    const found = names.map((name) => ({ name, ...inspectSettings(name, env) }));
    const problems = dedupe(found.flatMap(({ name, problems }) => problems.map((p) => ({ ...p, process: name }))));
    const warnings = [...new Set(found.flatMap(({ settings }) => settings.meta.warnings))];
    const rows = table(found);
    answer({ ok: problems.length === 0, problems, warnings, settings: rows }, render(rows, problems, warnings));
    return problems.length === 0 ? EXIT.ok : EXIT.config;
  },
};

type Row = TableRow & { processes: ProcessName[] };
type Finding = Problem & { processes: ProcessName[] };

/** One row per setting, with the processes that read it. */
function table(found: ({ name: ProcessName } & Inspection)[]): Row[] {
  const rows = new Map<string, Row>();
  const redact = createRedactor(() => found.flatMap(({ settings }) => settings.meta.secretValues()));
  for (const { name, settings } of found) {
    for (const row of settings.meta.table) {
      const seen = rows.get(row.name);
      if (seen) seen.processes.push(name);
      // A setting that is no secret may still carry one, e.g. a password within a URL.
      else rows.set(row.name, { ...row, value: String(redact(row.value)), processes: [name] });
    }
  }
  return [...rows.values()];
}

function dedupe(problems: (Problem & { process: ProcessName })[]): Finding[] {
  const findings = new Map<string, Finding>();
  for (const { process, ...problem } of problems) {
    const key = JSON.stringify(problem);
    const seen = findings.get(key);
    if (seen) seen.processes.push(process);
    else findings.set(key, { ...problem, processes: [process] });
  }
  return [...findings.values()];
}

function render(rows: Row[], problems: Finding[], warnings: string[]): string[] {
  const cells = [['SETTING', 'ORIGIN', 'VALUE'], ...rows.map((row) => [row.name, row.origin, row.value])];
  const widths = [0, 1].map((i) => Math.max(...cells.map((cell) => (cell[i] ?? '').length)));
  const lines = cells.map(([name = '', origin = '', value = '']) =>
    `${name.padEnd(widths[0] ?? 0)}  ${origin.padEnd(widths[1] ?? 0)}  ${value}`.trimEnd(),
  );
  if (warnings.length > 0) lines.push('', 'Warnings:', ...warnings.map((warning) => `  ${warning}`));
  if (problems.length === 0) return [...lines, '', 'All settings are good.'];
  lines.push('', problems.length === 1 ? '1 problem:' : `${problems.length} problems:`);
  for (const { name, problem, mend, processes } of problems) {
    lines.push(`  ${name} (${processes.join(', ')}): ${problem}`, `    -> ${mend}`);
  }
  return lines;
}
