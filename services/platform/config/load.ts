import { existsSync } from 'node:fs';
import path from 'node:path';
import { ConfigError, didYouMean, type Problem } from './problems.ts';
import { crossRules, isStrict } from './rules.ts';
import { digestGeneration, makeSecret, type Secret, type SecretControl } from './secret.ts';
import { check, type FileSource, readSecretFiles } from './secret-files.ts';
import { type SecretEvent, watchSecrets } from './secret-watch.ts';
import type { ProcessName, SecretSetting, Setting } from './setting.ts';
import { RENAMED, type SettingName, SPEC } from './spec.ts';
import { redactableValues } from './url-passwords.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

type ValueOf<R> = R extends Setting<infer T> ? T : Secret | undefined;
type Values = { readonly [N in SettingName]: ValueOf<(typeof SPEC)[N]> };

export type Origin = 'default' | 'env' | 'file' | 'generated' | 'unset';
export type TableRow = {
  name: SettingName;
  type: string;
  secret: boolean;
  origin: Origin;
  value: string;
  description: string;
};

/** The settings of one process under their environment names, and what is known about them under `meta`. */
export type Settings = Values & {
  readonly meta: {
    process: ProcessName;
    /** Profile staging or production. */
    strict: boolean;
    warnings: readonly string[];
    /** One row per setting of this process; values of secrets are replaced by their generation. */
    table: readonly TableRow[];
    secrets: readonly Secret[];
    /** Every secret value that is accepted now, for the redactor. */
    secretValues(): string[];
    /** Follows secret files from now on. Returns how to stop. */
    watch(report?: (event: SecretEvent) => void): { close(): void; checkNow(): void };
  };
};

/** What was found, good or not: `klar config check` shows it even when something is wrong. */
export type Inspection = { settings: Settings; problems: Problem[] };

/**
 * Reads the settings of a process.
 * @throws ConfigError with every problem at once; the caller prints it and exits 78.
 */
export function loadSettings(processName: ProcessName, env: Environment = process.env): Settings {
  const { settings, problems } = inspectSettings(processName, env);
  if (problems.length > 0) throw new ConfigError(processName, problems);
  return settings;
}

export function inspectSettings(processName: ProcessName, env: Environment = process.env): Inspection {
  const problems: Problem[] = [];
  const table: TableRow[] = [];
  const values: Record<string, unknown> = {};
  const given = new Set<string>();
  const loaded: { control: SecretControl; row: SecretSetting; source?: FileSource | undefined }[] = [];
  const profileDefault = defaultProfile(env);
  const profile = nonEmpty(env.KLAR_PROFILE) ?? profileDefault;
  const secretsDir = nonEmpty(env.KLAR_SECRETS_DIR) ?? SPEC.KLAR_SECRETS_DIR.fallback;

  for (const [name, row] of Object.entries(SPEC) as [SettingName, Setting<unknown> | SecretSetting][]) {
    const mine = row.processes === undefined || row.processes.includes(processName);
    if (row.secret) {
      // A process holds only what design section 2 lets it hold, even where the environment offers more.
      if (!mine) continue;
      const found = findSecret(name, row, env, secretsDir, isStrict(profile), problems);
      if (found) {
        loaded.push({ ...found, row });
        given.add(name);
        values[name] = found.control.secret;
      }
      const secret = found?.control.secret;
      const shown = secret ? `generation ${secret.generation()}` : '';
      table.push({
        name,
        type: row.type,
        secret: true,
        origin: secret?.origin ?? 'unset',
        value: shown,
        description: row.description,
      });
    } else {
      const text = nonEmpty(env[name]);
      const parsed = text === undefined ? undefined : row.parse(text);
      if (parsed?.ok) given.add(name);
      const fallback = name === 'KLAR_PROFILE' ? profileDefault : row.fallback;
      values[name] = parsed?.ok ? parsed.value : fallback;
      if (!mine) continue;
      if (parsed && !parsed.ok) problems.push({ name, problem: parsed.problem, mend: parsed.mend });
      const fallbackText = name === 'KLAR_PROFILE' ? profileDefault : row.fallbackText;
      const origin = text !== undefined ? 'env' : fallbackText === undefined ? 'unset' : 'default';
      table.push({
        name,
        type: row.type,
        secret: false,
        origin,
        value: text ?? fallbackText ?? '',
        description: row.description,
      });
    }
    const needed = row.requiredIn === 'always' || (row.requiredIn === 'strict' && isStrict(profile));
    const complained = problems.some((p) => p.name === name);
    // The CLI needs what the command needs, and asks with needSecret(); all-in-one makes its secrets when it starts.
    const exempt = processName === 'cli' || (processName === 'all-in-one' && row.secret);
    if (needed && !exempt && !given.has(name) && !complained) problems.push(missing(name, row, secretsDir));
  }

  problems.push(
    ...crossRules({
      process: processName,
      profile,
      get: (name) => values[name],
      isSet: (name) => given.has(name),
      secrets: loaded.map(({ control, row }) => ({ secret: control.secret, row })),
    }),
  );
  const { renamed, warnings } = strangers(env);
  problems.push(...renamed);
  const secrets = loaded.map(({ control }) => control.secret);
  const redactable = redactableValues();
  const meta: Settings['meta'] = {
    process: processName,
    strict: isStrict(profile),
    warnings,
    table,
    secrets,
    secretValues: () => redactable.of(secrets.flatMap((secret) => secret.accepted().map(({ value }) => value))),
    watch: (report = () => {}) =>
      watchSecrets(
        loaded.flatMap(({ control, source }) => (source ? [{ control, source }] : [])),
        report,
      ),
  };
  return { settings: Object.freeze({ ...values, meta }) as Settings, problems };
}

/** A secret that this code path cannot do without. @throws ConfigError */
export function needSecret(settings: Settings, name: SettingName): Secret {
  const value = settings[name];
  if (value && typeof value === 'object' && 'accepted' in value) return value as Secret;
  throw new ConfigError(settings.meta.process, [missing(name, SPEC[name] as SecretSetting, settings.KLAR_SECRETS_DIR)]);
}

function findSecret(
  name: string,
  row: SecretSetting,
  env: Environment,
  secretsDir: string,
  strict: boolean,
  problems: Problem[],
): { control: SecretControl; source?: FileSource } | undefined {
  // An env file holds one line: there a PEM's line ends are written as backslash and n.
  const direct = nonEmpty(env[name])?.replace(/^-----BEGIN[\s\S]*$/, (pem) => pem.replaceAll('\\n', '\n'));
  const file = nonEmpty(env[`${name}_FILE`]);
  const dir = path.join(secretsDir, name);
  const mounted = existsSync(dir);
  if (direct !== undefined && (file !== undefined || (mounted && strict))) {
    const other = file !== undefined ? `${name}_FILE` : dir;
    problems.push({
      name,
      problem: `is given twice, in the environment and by ${other}`,
      mend: 'keep the file, and unset the variable',
    });
  }
  if (direct !== undefined) {
    const problem = check(row, direct);
    if (problem) {
      problems.push({ name, problem, mend: mendSecret(name, row, secretsDir) });
      return undefined;
    }
    return { control: makeSecret(name, 'env', [{ value: direct, generation: digestGeneration(name, direct) }]) };
  }
  if (file === undefined && !mounted) return undefined;
  const source: FileSource = { name, row, at: file === undefined ? { dir } : { file } };
  const reading = readSecretFiles(source);
  if (!reading.ok) {
    problems.push({ name, problem: reading.problem, mend: mendSecret(name, row, secretsDir) });
    return undefined;
  }
  const origin = existsSync(path.join(dir, 'generated')) && file === undefined ? 'generated' : 'file';
  return { control: makeSecret(name, origin, reading.values), source };
}

function missing(name: string, row: Setting<unknown> | SecretSetting, secretsDir: string): Problem {
  if (row.secret) return { name, problem: 'is missing', mend: mendSecret(name, row, secretsDir) };
  const example = row.example ? `, for example ${row.example}` : '';
  return { name, problem: 'is missing', mend: `set ${name} (${row.type})${example}` };
}

function mendSecret(name: string, row: SecretSetting, secretsDir: string): string {
  const shape = row.shape ? ` (${row.shape.says})` : row.minLength > 0 ? ` (at least ${row.minLength} characters)` : '';
  return `put it into ${path.join(secretsDir, name, 'current')}, ${name}_FILE or ${name}${shape}`;
}

/** NODE_ENV=production without a profile is somebody's production: it must not get the lenient rules. */
function defaultProfile(env: Environment): 'production' | 'development' {
  return env.NODE_ENV === 'production' ? 'production' : 'development';
}

function strangers(env: Environment): { renamed: Problem[]; warnings: string[] } {
  const names = Object.keys(SPEC);
  const renamed: Problem[] = [];
  const warnings: string[] = [];
  for (const name of Object.keys(env)) {
    const today = Object.hasOwn(RENAMED, name) ? RENAMED[name] : undefined;
    if (today) renamed.push({ name, problem: 'is an old name that nothing reads', mend: `use ${today} instead` });
    const base = name.replace(/_FILE$/, '');
    if (!/^(KLAR_|DATABASE_URL_)/.test(name) || names.includes(name) || names.includes(base)) continue;
    const meant = didYouMean(name, names);
    warnings.push(`${name} is not a setting${meant ? `; did you mean ${meant}?` : ''}`);
  }
  return { renamed, warnings };
}

function nonEmpty(text: string | undefined): string | undefined {
  const trimmed = text?.trim();
  return trimmed ? trimmed : undefined;
}
