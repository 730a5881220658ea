import { randomBytes } from 'node:crypto';

/** `<UTC yyyymmddThhmmssZ>-<6 hex>`: names in a store sort by the time the backup began. */
const ID = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-[0-9a-f]{6}$/;

/** A new id. The digits behind the time keep two backups of one second apart. */
export function backupId(at: Date, random: (bytes: number) => Uint8Array = randomBytes): string {
  const time = at.toISOString().replace(/\.\d+Z$/, 'Z');
  return `${time.replace(/[-:]/g, '')}-${Buffer.from(random(3)).toString('hex')}`;
}

/** When the backup with this id began, or undefined when the text is no id: whatever else lies in a store is let be. */
export function timeOfId(id: string): Date | undefined {
  const match = ID.exec(id);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const at = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  // 20260231T... would roll over into March, and then sort apart from its time.
  return backupId(at, () => new Uint8Array(3)).slice(0, 16) === id.slice(0, 16) ? at : undefined;
}
