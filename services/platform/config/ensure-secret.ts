import { chmod, link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { randomToken } from '#platform/crypto/index.ts';
import { generateSecret } from './generate.ts';

export type EnsuredSecret = {
  value: string;
  file: string;
  /** false: it was there, and is as it was. */
  made: boolean;
};

export type EnsureSecretOptions = {
  /** How to make it; absent: generateSecret. */
  make?: () => string;
  /** Also readable for the group of the folder, where another user runs the process that reads it. */
  groupReadable?: boolean;
};

/**
 * Reads the secret `<folder>/<name>/current`, and makes it the first time. An existing one is never replaced, not even
 * by two that run at once: both end with the same value. The folder looks as Kubernetes would mount it.
 */
export async function ensureSecret(
  folder: string,
  name: string,
  { make = () => generateSecret(name), groupReadable = false }: EnsureSecretOptions = {},
): Promise<EnsuredSecret> {
  const dir = path.join(folder, name);
  const file = path.join(dir, 'current');
  let value = await readKept(file);
  let made = false;
  if (value === '') {
    for (const level of [folder, dir]) await mkdir(level, { recursive: true, mode: 0o700 });
    const fresh = make();
    await place(file, fresh);
    value = await readKept(file);
    made = value === fresh.trim();
    if (made) await writeDurably(path.join(dir, 'generated'), 'made by klar\n');
  }
  if (groupReadable) {
    await chmod(dir, 0o750);
    await chmod(file, 0o640);
  }
  return { value, file, made };
}

async function readKept(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    // One that is there and cannot be read must not be taken for one that is not there.
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text.trim();
}

/** Whole or not at all: a full disk or a kill leaves no half secret that everything would then be signed with. */
async function place(file: string, value: string): Promise<void> {
  const fresh = `${file}.${randomToken(6)}`;
  try {
    await writeDurably(fresh, `${value}\n`);
    await link(fresh, file).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
      // Another one was quicker, unless what stands there is the empty file of a crash.
      if ((await readKept(file)) === '') await rename(fresh, file);
    });
  } finally {
    await rm(fresh, { force: true });
  }
}

async function writeDurably(file: string, text: string): Promise<void> {
  const handle = await open(file, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
