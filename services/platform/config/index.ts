export { type EnsuredSecret, type EnsureSecretOptions, ensureSecret } from './ensure-secret.ts';
export { renderEnvExample } from './env-example.ts';
export { generateSecret } from './generate.ts';
export type { OutsideIssuer } from './issuers.ts';
export {
  type Environment,
  type Inspection,
  inspectSettings,
  loadSettings,
  needSecret,
  type Origin,
  type Settings,
  type TableRow,
} from './load.ts';
export { ConfigError, didYouMean, type Problem } from './problems.ts';
export { isStrict } from './rules.ts';
export { digestGeneration, fixedSecret, type Secret, type SecretUse, type SecretValue } from './secret.ts';
export type { SecretEvent } from './secret-watch.ts';
export { PROCESSES, type ProcessName } from './setting.ts';
export { RENAMED, type SettingName, SPEC } from './spec.ts';
export { DATABASE_ROLES, type DatabaseRole } from './spec-database.ts';

/** The environment of this process, to derive another one from: the only other reading of it is loadSettings'. */
export function environment(): Record<string, string | undefined> {
  return { ...process.env };
}
