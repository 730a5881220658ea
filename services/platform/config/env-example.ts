import type { SecretSetting, Setting } from './setting.ts';
import { SPEC } from './spec.ts';

/** The text of .env.example, made from the spec. */
export function renderEnvExample(): string {
  const out = [
    '# Settings of Klar, generated from services/platform/config/spec.ts by `npm run generate`: do not edit.',
    '# `npm start` needs none of them. Secrets may be given as <NAME>, as <NAME>_FILE, or mounted as',
    '# $KLAR_SECRETS_DIR/<NAME>/current (and previous); `klar config check` shows what a process sees.',
  ];
  const groups = Map.groupBy(
    Object.entries(SPEC) as [string, Setting<unknown> | SecretSetting][],
    ([, row]) => row.group,
  );
  for (const [group, rows] of groups) {
    out.push('', `## ${group}`);
    for (const [name, row] of rows) {
      const required =
        row.requiredIn === 'always'
          ? ', required'
          : row.requiredIn === 'strict'
            ? ', required in staging and production'
            : '';
      const who = row.processes ? row.processes.join(', ') : 'every process';
      out.push('', `# ${row.description}`, `# ${row.type}${required}; read by ${who}`);
      const value = row.secret ? (row.example ?? '') : row.fallbackText || row.example || '';
      out.push(`#${name}=${/[\s"<>]/.test(value) ? `'${value}'` : value}`);
    }
  }
  return `${out.join('\n')}\n`;
}
