import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lstat, mkdir, open, readdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { digestGeneration } from '#platform/config/index.ts';
import { sha256 } from '#platform/crypto/index.ts';
import { type Kept, SecretConflict, type SecretStore, SLOTS, type SlotValues } from './secret-store.ts';

const GENERATION = {
  current: 'generation',
  previous: 'previous_generation',
  next: 'next_generation',
  retired: 'retired_generation',
};

/**
 * Secrets of a laptop: `<folder>/<NAME>/{current,previous,...}`, changed as the kubelet does it: a new folder, and one
 * rename of the link `..data`. A reader sees all of before or all of after, and a kill leaves no half.
 * @param knows which names are secrets that processes read from here; other folders are not ours
 */
export function createFolderStore(folder: string, knows: (name: string) => boolean): SecretStore {
  const dirOf = (name: string) => path.join(folder, name);

  async function read(name: string) {
    const dir = dirOf(name);
    const data = path.join(dir, '..data');
    const from = existsSync(data) ? path.join(dir, await readlink(data)) : dir;
    const values: Partial<Record<(typeof SLOTS)[number], Kept>> = {};
    for (const slot of SLOTS) {
      const value = await text(path.join(from, slot));
      if (!value) continue;
      const generation = (await text(path.join(from, GENERATION[slot])))?.trim();
      values[slot] = { value, generation: generation || digestGeneration(name, value) };
    }
    if (!values.current) return undefined;
    const slots = values as SlotValues;
    return { values: slots, version: versionOf(slots) };
  }

  return {
    async names() {
      const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
      const names = entries.filter((entry) => entry.isDirectory() && knows(entry.name)).map((entry) => entry.name);
      const found = await Promise.all(names.map(async (name) => ((await read(name)) ? [name] : [])));
      return found.flat().sort();
    },
    read,
    async write(name, values, version) {
      const found = await read(name);
      if (found?.version !== version) throw new SecretConflict(name);
      const dir = dirOf(name);
      const made = `..${randomUUID()}`;
      await mkdir(path.join(dir, made), { mode: 0o700 });
      for (const slot of SLOTS) {
        const kept = values[slot];
        if (!kept) continue;
        await writeDurably(path.join(dir, made, slot), `${kept.value}\n`);
        // Only a name of its own: one beside a value that somebody changes by hand would name the wrong one.
        if (kept.generation === digestGeneration(name, kept.value)) continue;
        await writeDurably(path.join(dir, made, GENERATION[slot]), `${kept.generation}\n`);
      }
      await syncDir(path.join(dir, made));
      await link(dir, made, '..data');
      // For whoever reads the file itself, `<NAME>_FILE` and `cat` included.
      const current = path.join(dir, 'current');
      if (!(await lstat(current).catch(() => undefined))?.isSymbolicLink())
        await link(dir, '..data/current', 'current');
      await syncDir(dir);
      for (const entry of await readdir(dir)) {
        if (entry.startsWith('..') && entry !== '..data' && entry !== made) {
          await rm(path.join(dir, entry), { recursive: true, force: true });
        }
      }
    },
  };
}

/** Of everything that is there, so that nobody's change is overwritten unseen. */
const versionOf = (values: SlotValues) =>
  sha256(JSON.stringify(SLOTS.map((slot) => [values[slot]?.value, values[slot]?.generation]))).toString('hex');

async function text(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').then(
    (found) => found.replace(/\r?\n$/, ''),
    (error: NodeJS.ErrnoException) => {
      // One that cannot be read must not be taken for one that is not there.
      if (error.code === 'ENOENT') return undefined;
      throw error;
    },
  );
}

async function link(dir: string, target: string, name: string): Promise<void> {
  const fresh = path.join(dir, `..${randomUUID()}`);
  await symlink(target, fresh);
  await rename(fresh, path.join(dir, name));
}

async function writeDurably(file: string, content: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function syncDir(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
