import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Binaries, copyBinaries, EmbeddedPostgresError } from './postgres-binaries.ts';
import { clearLeftover } from './postmaster.ts';
import { canEnter, type Identity } from './unprivileged.ts';

/** Where the cluster and the programs are that run it. */
export type Place = { dataDir: string; bin: string };

/**
 * As root the server runs as `nobody`, who cannot enter a checkout under /root (mode 700). Then binaries and data
 * live in a folder of the system, and a symlink in the usual place says where.
 */
export async function settle(
  wanted: string,
  binaries: Binaries,
  identity: Identity | undefined,
  log: (m: string) => void,
): Promise<Place> {
  await mkdir(path.dirname(wanted), { recursive: true });
  if (!identity) return { dataDir: wanted, bin: binaries.bin };
  const movedAlready = await lstat(wanted).then(
    (info) => info.isSymbolicLink(),
    () => false,
  );
  if (!movedAlready && canEnter(identity, [path.dirname(wanted), binaries.bin])) {
    return { dataDir: wanted, bin: binaries.bin };
  }
  const home = path.join(tmpdirFor(), `klar-${createHash('sha256').update(wanted).digest('hex').slice(0, 12)}`);
  await mkdir(home, { recursive: true, mode: 0o755 });
  await chmod(home, 0o755); // mkdir's mode is cut by the umask
  const { bin } = canEnter(identity, [binaries.bin])
    ? binaries
    : await copyBinaries(binaries, path.join(home, 'postgres'));
  if (!canEnter(identity, [home, bin])) {
    throw new EmbeddedPostgresError(
      'postgres_folder_unreachable',
      `Running as root, PostgreSQL has to run as uid ${identity.uid}, which cannot enter ${path.dirname(wanted)} or ${home}.`,
      'Run as a normal user, move the checkout to a folder others may enter (for example /srv/klar), or set DATABASE_URL.',
    );
  }
  const dataDir = path.join(home, 'data');
  if (!movedAlready) {
    // Without the link these are the data of a folder that was deleted: whoever deletes .klar starts over.
    await clearLeftover(dataDir, log);
    await rm(dataDir, { recursive: true, force: true });
    log(
      `uid ${identity.uid} cannot enter ${path.dirname(wanted)}: the database is kept in ${dataDir}, linked from ${wanted}`,
    );
    await symlink(dataDir, wanted);
  }
  return { dataDir, bin };
}

/** /var/lib survives a reboot; a container without it still has a temporary folder. */
function tmpdirFor(): string {
  return process.platform === 'linux' ? '/var/lib' : tmpdir();
}
