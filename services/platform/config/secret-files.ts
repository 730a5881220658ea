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

/** A swap takes microseconds; needing a third try means that something else is wrong, and the next poll looks again. */
const ATTEMPTS = 3;

/**
 * Reads current, previous and generation of one moment. Kubernetes replaces a mounted secret by swapping the symlink
 * `..data` and then deletes the folder it pointed to: resolving it once keeps us from pairing a new current with an
 * old previous, and looking again afterwards from taking a folder that is being deleted for one without a previous.
 * Where all secrets are one volume, as in our chart, the folder itself is a link through the `..data` above it.
 */
export function readSecretFiles(source: FileSource): FileReading {
  const { at } = source;
  try {
    if ('file' in at) return readAs(source, at.file, {});
    const data = path.join(at.dir, '..data');
    const resolve = () => (existsSync(data) ? realpathSync(data) : existsSync(at.dir) ? realpathSync(at.dir) : at.dir);
    for (let attempt = 1; ; attempt += 1) {
      const before = resolve();
      try {
        const reading = readAs(source, path.join(before, 'current'), {
          generation: path.join(before, 'generation'),
          previous: path.join(before, 'previous'),
          previousGeneration: path.join(before, 'previous_generation'),
        });
        const after = resolve();
        if (after === before) return reading;
        if (attempt === ATTEMPTS) return { ok: false, problem: `${at.dir} changes while it is read` };
      } catch (error) {
        if (attempt === ATTEMPTS) throw error;
      }
    }
  } catch (error) {
    const { code, path: file } = error as NodeJS.ErrnoException;
    return { ok: false, problem: `${file ?? source.name} cannot be read (${code ?? 'unknown error'})` };
  }
}

type Beside = { generation?: string; previous?: string; previousGeneration?: string };

function readAs({ name, row }: FileSource, file: string, beside: Beside): FileReading {
  const current = read(file);
  const problem = check(row, current);
  if (problem) return { ok: false, problem: `${file}: ${problem}` };
  const values: [SecretValue, ...SecretValue[]] = [withGeneration(name, current, readIfThere(beside.generation))];
  const previous = readIfThere(beside.previous);
  // An empty `previous` is how a rotation ends where a file cannot be removed.
  if (previous && previous !== current && check(row, previous) === undefined) {
    values.push(withGeneration(name, previous, readIfThere(beside.previousGeneration)));
  }
  return { ok: true, values };
}

function read(file: string): string {
  return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
}

function readIfThere(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
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
  const { shape } = row;
  if (shape && !(shape.pattern.test(value) && (shape.accepts?.(value) ?? true))) return `is not ${shape.says}`;
  return undefined;
}

function withGeneration(name: string, value: string, generation: string | undefined): SecretValue {
  return { value, generation: generation?.trim() || digestGeneration(name, value) };
}
