import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { renderEnvExample } from '#platform/config/index.ts';
import { generateOpenApi } from '../services/api/openapi.ts';
import { COMMANDS } from '../services/cli/commands.ts';
import { renderChartSettings } from './chart-settings.ts';
import { renderChartSettingsTable } from './chart-settings-table.ts';
import { renderValuesSchema } from './chart-values-schema.ts';
import { schemaSnapshot } from './schema-snapshot.ts';

/** A committed file that is made from code; CI makes it again and compares. */
type Generated = { file: string; source: string; render: () => Promise<string> | string };

/** Add a row here for each generated file. `render` must give the same bytes every time. */
const FILES: Generated[] = [
  { file: '.env.example', source: 'services/platform/config/spec.ts', render: renderEnvExample },
  {
    file: 'charts/klar/settings.generated.json',
    source: 'services/platform/config/spec.ts',
    render: renderChartSettings,
  },
  { file: 'charts/klar/values.schema.json', source: 'scripts/chart-values-schema.ts', render: renderValuesSchema },
  { file: 'charts/klar/SETTINGS.md', source: 'services/platform/config/spec.ts', render: renderChartSettingsTable },
  { file: 'openapi.json', source: 'services/api/routes/', render: generateOpenApi },
  { file: 'schema.sql', source: 'migrations/', render: async () => (await schemaSnapshot()).schema },
  {
    file: 'security-definer.txt',
    source: 'migrations/',
    render: async () => (await schemaSnapshot()).securityDefiner,
  },
  {
    file: 'charts/klar/commands.generated.json',
    source: 'services/cli/commands.ts',
    // One name a line: the chart makes a CronJob only of a command that is here.
    render: () =>
      `${JSON.stringify(
        COMMANDS.map(({ name }) => name),
        null,
        2,
      )}\n`,
  },
];

const HELP = `Usage: npm run generate [-- --check] [-- <file>...]

Makes the committed generated files again:
${FILES.map(({ file, source }) => `  ${file}  from ${source}`).join('\n')}

  --check  write nothing; exit 1 when a file is not what the code makes
  --help   show this
`;

const root = path.join(import.meta.dirname, '..');
const { values, positionals } = parseArgs({
  options: { check: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  allowPositionals: true,
});

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const chosen = positionals.length > 0 ? FILES.filter(({ file }) => positionals.includes(file)) : FILES;
  let stale = 0;
  for (const { file, source, render } of chosen) {
    const text = await render();
    const committed = await readFile(path.join(root, file), 'utf8').catch(() => undefined);
    if (committed === text) continue;
    if (values.check) {
      stale += 1;
      process.stderr.write(`${file} is not what ${source} makes; run: npm run generate\n`);
    } else {
      await writeFile(path.join(root, file), text);
      process.stdout.write(`${file} written\n`);
    }
  }
  return stale > 0 ? 1 : 0;
}

process.exitCode = await main();
