import { userInfo } from 'node:os';

/** Who runs this command, for the audit log: `cli:<login>`. */
export function operator(): string {
  try {
    return `cli:${userInfo().username}`;
  } catch {
    // The image's user is a number that /etc/passwd does not know.
    return `cli:uid-${process.getuid?.() ?? 'unknown'}`;
  }
}
