import { spawnSync } from 'node:child_process';
import { chmod, chown, lstat, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

export type Identity = { uid: number; gid: number };

/**
 * PostgreSQL refuses to run as root, and initdb needs a uid that /etc/passwd knows: `nobody` exists everywhere.
 * Returns undefined when this process is not root and nothing has to change.
 */
export async function serverIdentity(): Promise<Identity | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const fields = passwd
    .split('\n')
    .find((line) => line.startsWith('nobody:'))
    ?.split(':');
  const uid = Number(fields?.[2]);
  const gid = Number(fields?.[3]);
  return uid > 0 && gid > 0 ? { uid, gid } : { uid: 65534, gid: 65534 };
}

/** Whether that identity can enter every one of these folders: asked of the kernel, so that ACLs and mounts count. */
export function canEnter(identity: Identity, folders: string[]): boolean {
  // The loop stands in one `sh` because each probe costs a fork.
  const probe = spawnSync('/bin/sh', ['-c', 'for d do cd "$d" || exit 1; done', 'sh', ...folders], {
    uid: identity.uid,
    gid: identity.gid,
    cwd: '/',
    env: { PATH: '/usr/bin:/bin' },
    stdio: 'ignore',
  });
  return probe.status === 0;
}

/** Gives a data folder to the server's identity; a folder made by an earlier run as another user is taken over. */
export async function giveTo(identity: Identity, folder: string): Promise<void> {
  await chown(folder, identity.uid, identity.gid);
  await chmod(folder, 0o700);
  for (const entry of await readdir(folder, { recursive: true })) {
    const file = path.join(folder, entry);
    const info = await lstat(file);
    if (info.uid !== identity.uid && !info.isSymbolicLink()) await chown(file, identity.uid, identity.gid);
  }
}
