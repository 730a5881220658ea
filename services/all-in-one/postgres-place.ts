import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Binaries, copyBinaries, EmbeddedPostgresError } from './postgres-binaries.ts';
import { clearLeftover } from './postmaster.ts';
import { canEnter, type Identity } from './unprivileged.ts';

/** Where the cluster and the programs are that run it. */
export type Place = { dataDir: string; bin: string };

/**
 * As root the server runs as `nobody`, who cannot enter a checkout under /root (mode 700). Whatever it cannot reach, the
 * programs, the data or both, lives in a folder of the system; a symlink in the usual place says where the data are.
 */
export async function settle(
  wanted: string,
  binaries: Binaries,
  identity: Identity | undefined,
  log: (m: string) => void,
): Promise<Place> {
  await mkdir(path.dirname(wanted), { recursive: true });
  if (!identity) return { dataDir: wanted, bin: binaries.bin };
  const bin = await reachableBin(binaries, identity);
  const movedAlready = await lstat(wanted).then(
    (info) => info.isSymbolicLink(),
    () => false,
  );
  if (!movedAlready && canEnter(identity, [path.dirname(wanted)])) return { dataDir: wanted, bin };
  const home = path.join(systemFolder(), `klar-${digest(wanted)}`);
  await mkdir(home, { recursive: true, mode: 0o755 });
  await chmod(home, 0o755); // mkdir's mode is cut by the umask
  if (!canEnter(identity, [home])) throw unreachable(identity, `${path.dirname(wanted)} or ${home}`);
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

/** One copy serves every data folder of a checkout; a newer PostgreSQL gets one of its own. */
async function reachableBin(binaries: Binaries, identity: Identity): Promise<string> {
  if (canEnter(identity, [binaries.bin])) return binaries.bin;
  const { size, mtimeMs } = await stat(path.join(binaries.bin, 'postgres'));
  const target = path.join(systemFolder(), `klar-postgres-${digest(`${binaries.bin} ${size} ${mtimeMs}`)}`);
  const { bin } = await copyBinaries(binaries, target);
  if (!canEnter(identity, [bin])) throw unreachable(identity, `${binaries.bin} or ${bin}`);
  return bin;
}

const digest = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 12);

const unreachable = (identity: Identity, folders: string) =>
  new EmbeddedPostgresError(
    'postgres_folder_unreachable',
    `Running as root, PostgreSQL has to run as uid ${identity.uid}, which cannot enter ${folders}.`,
    'Run as a normal user, move the checkout to a folder others may enter (for example /srv/klar), or set DATABASE_URL.',
  );

/** /var/lib survives a reboot; a container without it still has a temporary folder. */
function systemFolder(): string {
  return process.platform === 'linux' ? '/var/lib' : tmpdir();
}
