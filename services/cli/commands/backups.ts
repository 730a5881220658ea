import {
  type BackupStore,
  listAll,
  listProofs,
  newestCommitted,
  openStore,
  type Proof,
  parseRetention,
  proofsById,
  pruneBackups,
  readManifest,
} from '#domain/operations/backups/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import type { Settings } from '#platform/config/index.ts';
import { fail, KlarError } from '#platform/errors/index.ts';
import { type Command, EXIT } from '../command.ts';
import { taskCommand } from '../task-command.ts';
import { age, size } from './backup-text.ts';
import { opsDb } from './ops-db.ts';

const NOTES =
  'Reads the listing of BACKUP_URL itself, so it works when the database is gone; what was restored with success is\n' +
  'asked of the database (DATABASE_URL_OPS or DATABASE_URL) when it answers.';

async function withStore<T>(settings: Settings, fn: (store: BackupStore) => Promise<T>): Promise<T> {
  const store = await openStore(settings);
  try {
    return await fn(store);
  } finally {
    await store.close();
  }
}

/** What is known of proofs; nothing where no database answers, as on the day when backups are needed. */
async function proofsIfAny(settings: Settings): Promise<((id: string) => Proof) | undefined> {
  if (settings.DATABASE_URL_OPS === undefined && settings.DATABASE_URL === undefined) return undefined;
  const db = opsDb(settings);
  try {
    return proofsById(await listProofs(db));
  } catch {
    return undefined;
  } finally {
    await db.close();
  }
}

const PROVEN: Record<Proof, string> = { ok: 'restored with success', failed: 'RESTORE FAILED', unknown: 'not proven' };

/** `klar backups list`: newest first, remains of killed runs included. */
export const backupsList: Command = {
  notes: NOTES,
  async run({ settings, answer }) {
    const known = settings();
    const [backups, proofOf] = await Promise.all([withStore(known, listAll), proofsIfAny(known)]);
    const now = systemClock.now().getTime();
    const data = backups.reverse().map(({ id, committed, bytes, at, changedAt }) => ({
      id,
      state: committed ? 'committed' : 'incomplete',
      bytes,
      at: at.toISOString(),
      changed_at: changedAt.toISOString(),
      age_s: Math.round((now - at.getTime()) / 1_000),
      proof: committed ? (proofOf?.(id) ?? null) : null,
    }));
    answer({ data }, [
      ...data.map(({ id, state, bytes, age_s, proof }) =>
        [
          id,
          state.padEnd(10),
          size(bytes).padStart(10),
          `${age(age_s * 1_000)} old`.padEnd(10),
          state === 'incomplete' ? 'at work, or remains of a killed run' : proof === null ? '' : PROVEN[proof],
        ]
          .join('  ')
          .trimEnd(),
      ),
      ...(data.length === 0 ? [`No backups in ${known.BACKUP_URL}.`] : []),
      ...(proofOf === undefined ? ['No database answers: what was restored with success is not known here.'] : []),
    ]);
    return EXIT.ok;
  },
};

/** `klar backups show`: what a manifest says. */
export const backupsShow: Command = {
  arguments: [{ name: 'id?', description: 'Of `klar backups list`; absent: the newest' }],
  notes: NOTES,
  async run({ settings, arguments: [asked], answer }) {
    const known = settings();
    const manifest = await withStore(known, async (store) => {
      const id = asked ?? (await newestCommitted(store))?.id;
      if (id === undefined) throw fail.notFound('backup_missing', `There is no committed backup in ${store.url}.`);
      return readManifest(store, id).catch((error) => {
        if (!(error instanceof KlarError) || error.code !== 'backup_object_missing') throw error;
        throw fail.notFound('backup_missing', `There is no backup ${id} in ${store.url}.`);
      });
    });
    const bytes = manifest.parts.reduce((sum, part) => sum + part.bytes, 0);
    answer(manifest, [
      manifest.id,
      `  data of      ${manifest.snapshot_at}`,
      `  schema       ${manifest.schema_version}, PostgreSQL ${manifest.server_version}, pg_dump ${manifest.pg_dump_version}`,
      `  made by      ${manifest.image_digest ?? manifest.commit ?? 'an unnamed build'}`,
      `  stored       ${size(bytes)} in ${manifest.parts.length} parts`,
      `  encrypted    ${manifest.encrypted === null ? 'no' : `to ${manifest.encrypted.recipients.join(', ')}`}`,
      `  tables       ${manifest.tables.length}`,
      ...manifest.tables
        .filter(({ rows }) => rows > 0)
        .map(({ schema, name, rows }) => `    ${String(rows).padStart(10)}  ${schema}.${name}`),
      '  money, in minor units',
      ...manifest.sums.map(({ name, currency, value }) => `    ${value.padStart(14)} ${currency ?? ''}  ${name}`),
    ]);
    return EXIT.ok;
  },
};

/** `klar backups prune`: removes what BACKUP_RETENTION does not keep and a newer, proven backup covers. */
export const backupsPrune = taskCommand({
  task: 'backup-prune',
  options: { 'dry-run': { type: 'boolean', description: 'Only say what would go, and why the rest stays' } },
  notes:
    'Runs with a storage identity of its own: the one that writes backups should not be able to delete them\n' +
    '(docs/backups.md has the policies). Keeps by BACKUP_RETENTION; removes a backup only when a newer one was restored\n' +
    'with success, and remains of killed runs after a day.',
  unrecorded: ({ options }) => options['dry-run'] === true,
  async work({ settings, options, log }, { signal, fenced }) {
    const dryRun = options['dry-run'] === true;
    const retention = parseRetention(settings.BACKUP_RETENTION);
    const db = opsDb(settings, log());
    try {
      const report = await withStore(settings, (store) =>
        pruneBackups({ db, store, retention, now: systemClock.now(), dryRun, signal, fenced: () => fenced() }),
      );
      const doomed = report.decisions.filter(({ keep }) => !keep);
      const bytes = doomed.reduce((sum, decision) => sum + decision.bytes, 0);
      return {
        detail: {
          removed: report.removed,
          freed: report.freed,
          kept: report.decisions.length - doomed.length,
          ...(dryRun ? { decisions: report.decisions } : {}),
        },
        text: [
          ...report.decisions.map(({ id, keep, reason }) => `${id}  ${keep ? 'stays' : 'goes '}  ${reason}`),
          `${doomed.length} ${dryRun ? 'would be' : 'were'} removed, ${size(bytes)}.`,
        ],
      };
    } finally {
      await db.close();
    }
  },
});
