import { fail } from '#platform/errors/index.ts';

/** How many of each are kept: the newest backup of each of the last so many hours, days, weeks ... that have one. */
export interface Retention {
  hourly: number;
  daily: number;
  weekly: number;
  monthly: number;
  yearly: number;
}

type Period = keyof Retention;

const PERIODS: readonly Period[] = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'];
const DAY_MS = 86_400_000;

/** Reads BACKUP_RETENTION, e.g. `daily=7,weekly=4,monthly=12`. @throws KlarError `backup_retention_wrong` */
export function parseRetention(text: string): Retention {
  const retention: Retention = { hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
  for (const item of text.split(',')) {
    const match = /^\s*([a-z]+)=(\d{1,4})\s*$/.exec(item);
    const period = PERIODS.find((name) => name === match?.[1]);
    if (match === null || period === undefined) throw wrong(`"${item.trim()}" is no rule`);
    retention[period] = Number(match[2]);
  }
  if (PERIODS.every((period) => retention[period] === 0)) throw wrong('it keeps nothing');
  return retention;
}

const wrong = (why: string) =>
  fail.invalid('backup_retention_wrong', `BACKUP_RETENTION: ${why}. Write for example daily=7,weekly=4,monthly=12.`);

/** `ok`: its newest restore proof succeeded; `failed`: it did not; `unknown`: there is none. */
export type Proof = 'ok' | 'failed' | 'unknown';

export interface Candidate {
  id: string;
  committed: boolean;
  /** When it began. */
  at: Date;
  /** When its newest object was written. */
  changedAt: Date;
  proof: Proof;
}

export interface Decision {
  id: string;
  keep: boolean;
  /** Why, for a person. */
  reason: string;
}

/** Remains of a killed run are left alone for so long: no run lasts longer. */
export const SAFE_MS = DAY_MS;

/**
 * What goes and what stays, in the order given. A backup goes only if a newer one that stays was restored with
 * success; how old it is does not matter, so that a clock that is wrong takes nothing away.
 */
export function planRetention(backups: readonly Candidate[], retention: Retention, now: Date): Decision[] {
  const past = backups
    .filter(({ committed, at }) => committed && at <= now)
    .sort((a, b) => b.at.getTime() - a.at.getTime());
  const newest = past[0];
  const cover = past.find(({ proof }) => proof === 'ok');
  const slots = fillSlots(past, retention);
  return backups.map((backup) => {
    const keep = (reason: string): Decision => ({ id: backup.id, keep: true, reason });
    const drop = (reason: string): Decision => ({ id: backup.id, keep: false, reason });
    if (backup.at > now || backup.changedAt.getTime() > now.getTime() + SAFE_MS) return keep('from the future');
    if (!backup.committed) {
      const aged = now.getTime() - Math.max(backup.at.getTime(), backup.changedAt.getTime()) > SAFE_MS;
      if (!aged) return keep('not finished, and young enough to be at work');
      if (newest === undefined || newest.at <= backup.at) return keep('not finished, and no backup is newer');
      return drop('remains of a run that was killed');
    }
    if (backup === newest) return keep('the newest');
    if (backup === cover) return keep('the newest that was restored with success');
    if (cover === undefined) return keep('no backup has been restored with success yet');
    if (backup.at >= cover.at) return keep('newer than every backup that was restored with success');
    const slot = slots.get(backup.id);
    if (slot !== undefined) return keep(slot);
    return drop(`covered by ${cover.id}`);
  });
}

/** One backup for each period: the newest that was proven, else the newest that was not found broken. */
function fillSlots(past: readonly Candidate[], retention: Retention): Map<string, string> {
  const slots = new Map<string, string>();
  for (const period of PERIODS) {
    const buckets = Map.groupBy(past, ({ at }) => bucketOf(at, period));
    // Groups come newest first, as `past` does.
    for (const [bucket, members] of [...buckets].slice(0, retention[period])) {
      const best =
        members.find(({ proof }) => proof === 'ok') ?? members.find(({ proof }) => proof === 'unknown') ?? members[0];
      if (best !== undefined && !slots.has(best.id)) slots.set(best.id, `${period} ${bucket}`);
    }
  }
  return slots;
}

function bucketOf(at: Date, period: Period): string {
  const text = at.toISOString();
  switch (period) {
    case 'hourly':
      return text.slice(0, 13);
    case 'daily':
      return text.slice(0, 10);
    case 'weekly': {
      // Named after its Monday, in UTC.
      const day = (at.getUTCDay() + 6) % 7;
      return new Date(at.getTime() - day * DAY_MS).toISOString().slice(0, 10);
    }
    case 'monthly':
      return text.slice(0, 7);
    case 'yearly':
      return text.slice(0, 4);
  }
}
