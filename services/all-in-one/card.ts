import type { Demo } from './seed.ts';

export type CardInput = {
  base: string;
  adminPort: number;
  sandboxUrl?: string | undefined;
  mailUrl?: string | undefined;
  /** Who takes the payments, in words. */
  payments: string;
  dataDir: string;
  logFile: string;
  demo?: Demo | undefined;
  notes: string[];
  seconds: number;
};

/** What a person needs after the start: where things are, who to log in as, and what to type next. */
export function renderCard(card: CardInput): string {
  const { demo } = card;
  const rows: [string, string | undefined][] = [
    ['API', `${card.base}/api`],
    ['OpenAPI', `${card.base}/api/openapi.json`],
    ['Mail', card.mailUrl],
    ['Sandbox', card.sandboxUrl],
    ['Metrics', `http://localhost:${card.adminPort}/metrics`],
    ['Payments', card.payments],
    ['Data, logs', `${card.dataDir}, ${card.logFile}`],
  ];
  if (demo) {
    rows.push(
      ['School', demo.school],
      ['Teacher', `${demo.teacher.email}  ${demo.teacher.password}`],
      ['Student', `${demo.student.email}  ${demo.student.password}`],
    );
  }
  const port = new URL(card.base).port || '80';
  const demoCommand = port === '3000' ? 'npm run demo' : `npm run demo -- --base-url http://127.0.0.1:${port}`;
  const next: [string, string][] = [
    [demoCommand, 'one purchase from school to lesson, step by step'],
    [`curl -s ${card.base}/api/ready`, 'what is up'],
    ['npm run klar -- --help', 'the commands; Ctrl-C stops everything here'],
  ];
  const width = Math.max(...next.map(([command]) => command.length));
  return [
    '',
    `  Klar is ready after ${card.seconds.toFixed(1)} s`,
    '',
    ...rows.filter(([, value]) => value !== undefined).map(([name, value]) => `  ${name.padEnd(11)} ${value}`),
    '',
    '  Next:',
    ...next.map(([command, why]) => `    ${command.padEnd(width)}  ${why}`),
    ...card.notes.map((note) => `\n  Note: ${note}`),
    '',
  ].join('\n');
}
