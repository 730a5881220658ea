import { existsSync, readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { digestGeneration, type SecretValue } from './secret.ts';
import type { SecretSetting } from './setting.ts';

export type FileSource = {
  name: string;
  row: SecretSetting;
  /** The folder with current and previous, or the one file that `<NAME>_FILE` names. */
  at: { dir: string } | { file: string };
};

export type FileReading = { ok: true; values: [SecretValue, ...SecretValue[]] } | { ok: false; problem: string };

/**
 * Reads current, previous and generation of one moment. Kubernetes replaces a mounted secret by swapping the symlink
 * `..data`: resolving it once keeps us from pairing a new current with an old previous.
 */
export function readSecretFiles(source: FileSource): FileReading {
  const { name, row, at } = source;
  try {
    if ('file' in at) {
      const problem = check(row, read(at.file));
      return problem
        ? { ok: false, problem: `${at.file}: ${problem}` }
        : { ok: true, values: [withGeneration(name, read(at.file), undefined)] };
    }
    const data = path.join(at.dir, '..data');
    const dir = existsSync(data) ? realpathSync(data) : at.dir;
    const current = read(path.join(dir, 'current'));
    const problem = check(row, current);
    if (problem) return { ok: false, problem: `${path.join(at.dir, 'current')}: ${problem}` };
    const values: [SecretValue, ...SecretValue[]] = [
      withGeneration(name, current, readIfThere(path.join(dir, 'generation'))),
    ];
    const previous = readIfThere(path.join(dir, 'previous'));
    // An empty `previous` is how a rotation ends where a file cannot be removed.
    if (previous && previous !== current && check(row, previous) === undefined) {
      values.push(withGeneration(name, previous, readIfThere(path.join(dir, 'previous_generation'))));
    }
    return { ok: true, values };
  } catch (error) {
    const { code, path: file } = error as NodeJS.ErrnoException;
    return { ok: false, problem: `${file ?? name} cannot be read (${code ?? 'unknown error'})` };
  }
}

function read(file: string): string {
  return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
}

function readIfThere(file: string): string | undefined {
  try {
    return read(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** What is wrong with a secret's text, without quoting it; undefined when nothing is. */
export function check(row: SecretSetting, value: string): string | undefined {
  if (value.trim() === '') return 'is empty';
  if (row.shape && !row.shape.pattern.test(value)) return `is not ${row.shape.says}`;
  return undefined;
}

function withGeneration(name: string, value: string, generation: string | undefined): SecretValue {
  return { value, generation: generation?.trim() || digestGeneration(name, value) };
}
