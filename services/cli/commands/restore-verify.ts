import {
  insertProof,
  openStore,
  type RestoreProof,
  readSystemIdentifier,
  verifyBackup,
} from '#domain/operations/backups/index.ts';
import { newestMigration } from '#platform/db/setup.ts';
import { newId } from '#platform/ids/index.ts';
import { taskCommand } from '../task-command.ts';
import { databaseUrl } from './database-url.ts';
import { MIGRATIONS_DIR } from './migrate.ts';
import { opsDb, patiently } from './ops-db.ts';
import { checkLines, duration, restoreFailed } from './restore-report.ts';

/** `klar restore-verify`: the backup is worth what its restore has shown. */
export const restoreVerify = taskCommand({
  task: 'restore-verify',
  options: {
    backup: { type: 'string', value: 'id', description: 'Which one; default: the newest that is committed' },
    'allow-production-server': {
      type: 'boolean',
      description: "Restore beside production, on its own server: for demos; it takes production's disk and time",
    },
  },
  notes:
    'Restores into a database of its own (klar_verify_...) on the server of RESTORE_VERIFY_DATABASE_URL, compares it with\n' +
    'the manifest, looks at it as tenants do, and drops it whatever happens. Its login is a superuser, or one with\n' +
    'CREATEDB and BYPASSRLS that is a member of klar_owner and klar_api. Restoring runs what the dump says: give it a\n' +
    'server of its own. The proof is a row of ops.restore_proofs.\n' +
    'Exit codes: 10-39 the backup, 40-59 the place or the way; docs/disaster-recovery.md lists them.',
  async work(input, context) {
    const { settings, say } = input;
    const url = databaseUrl(settings, ['RESTORE_VERIFY_DATABASE_URL']);
    const db = opsDb(settings, input.log());
    try {
      const store = await openStore(settings);
      const proof = await verifyBackup({
        store,
        backup: input.options.backup as string | undefined,
        url,
        production: {
          identifier: await patiently(() => db.withTx(readSystemIdentifier), context.signal),
          allowed: input.options['allow-production-server'] === true,
        },
        identity: settings.BACKUP_IDENTITY?.current(),
        jobs: settings.BACKUP_JOBS,
        workDir: settings.BACKUP_WORK_DIR,
        newestMigration: await newestMigration(MIGRATIONS_DIR),
        signal: context.signal,
        now: () => new Date(),
        say,
      }).finally(() => store.close());
      const proofId = newId('prf');
      const keep = () =>
        db.withTx(async (tx) => {
          // A run that was taken over must not speak for the one that took it.
          if (proof.failure?.code !== 'restore_timed_out') await context.fenced(tx);
          return insertProof(tx, proof, proofId);
        });
      await patiently(keep, context.signal);
      if (proof.failure !== undefined) {
        for (const line of checkLines(proof.checks)) say(line);
        throw restoreFailed(proof.failure, { proof_id: proofId, backup_id: proof.backupId });
      }
      return { detail: summary(proof, proofId), text: told(proof, proofId) };
    } catch (error) {
      throw restoreFailed(error);
    } finally {
      await db.close();
    }
  },
});

function summary(proof: RestoreProof, proofId: string): Record<string, unknown> {
  const { backupId, ok, rtoSeconds, rpoSeconds, checks, steps } = proof;
  return {
    proof_id: proofId,
    backup_id: backupId,
    ok,
    rto_seconds: rtoSeconds,
    rpo_seconds: rpoSeconds,
    checks,
    steps,
  };
}

function told(proof: RestoreProof, proofId: string): string[] {
  return [
    ...checkLines(proof.checks),
    `RTO ${duration(proof.rtoSeconds ?? 0)}: from the store to a database that was checked`,
    `RPO ${duration(proof.rpoSeconds ?? 0)}: the age of its data when this began`,
    `${proofId}  ${proof.backupId} can be restored`,
  ];
}
