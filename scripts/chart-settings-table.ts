import { type ChartSetting, chartSettings } from './chart-settings.ts';

const WHEN = { always: 'always', strict: 'staging, production' } as const;

/** charts/klar/SETTINGS.md: what `config` takes, and which names the Secret may hold. */
export function renderChartSettingsTable(): string {
  return [
    '# Settings',
    '',
    'Generated from `services/platform/config/spec.ts` by `npm run generate`: do not edit.',
    '',
    '## `config`',
    '',
    'Not secret: they are in ConfigMaps, one for each process. A changed one rolls the pods that read it. The chart itself sets',
    'the ports, KLAR_PROFILE, NODE_ENV and BILLING_MODE (by `mode`), and defaults for SHUTDOWN_DELAY_MS, PUBLIC_BASE_URL (the',
    'first host) and, in the demo, for TRUSTED_PROXIES and SMTP_FROM.',
    '',
    '| setting | value | default | required | read by | |',
    '|---|---|---|---|---|---|',
    ...chartSettings('config').map((setting) =>
      row(setting, [cell(kind(setting)), setting.row.secret ? '' : code(setting.row.fallbackText)]),
    ),
    '',
    '## Secrets',
    '',
    'Keys of `secrets.existingSecret` (or properties of the entry that `secrets.externalSecret` names). A process is given its own',
    'alone. `<NAME>.previous` is accepted beside `<NAME>` while one rotates. Which DATABASE_URL_<ROLE> are needed follows from what',
    'runs: API, AUTH, INGEST and WORKER by the processes, MIGRATOR by the migrations, the others by the CronJobs.',
    '',
    '| name | looks like | required | held by | |',
    '|---|---|---|---|---|',
    ...chartSettings('secrets').map((setting) => row(setting, [code(setting.row.example)])),
    '',
  ].join('\n');
}

function row({ name, row: { requiredIn, description }, processes }: ChartSetting, middle: string[]): string {
  const required = requiredIn ? WHEN[requiredIn] : '';
  return `| \`${name}\` | ${[...middle, required, processes.join(', '), cell(description)].join(' | ')} |`;
}

const cell = (words: string): string => words.replaceAll('|', '\\|');
const code = (words: string | undefined): string => (words ? `\`${cell(words)}\`` : '');

function kind({ row: { type } }: ChartSetting): string {
  const kinds: Record<string, string> = {
    origins: 'list of origins',
    networks: 'list of networks',
    json: 'list of issuers',
    'true|false': 'true or false',
    port: 'port',
  };
  return kinds[type] ?? type.replaceAll('|', ', ');
}
