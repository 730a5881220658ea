import { KlarError } from '#platform/errors/index.ts';

/**
 * Every way in which a restore or its proof can fail: the exit code of `klar restore-verify` and `klar restore`, and
 * what to do. 10 to 39 are about the backup, and call for another one; 40 on are about where and how it was tried.
 */
export const RESTORE_FAILURES = {
  restore_no_backup: { exit: 10, mend: 'Run klar backup, and look why the schedule did not (klar backups list).' },
  backup_object_missing: { exit: 11, mend: 'klar backups list shows what there is.' },
  backup_manifest_missing: { exit: 12, mend: 'Its run was killed: it is no backup. Take a committed one.' },
  backup_manifest_broken: { exit: 13, mend: 'Take an older backup, and find out who wrote to the store.' },
  backup_format_unknown: { exit: 14, mend: 'Restore it with the release of Klar that made it.' },
  backup_dump_missing: { exit: 15, mend: 'Take an older backup, and find out who deleted from the store.' },
  backup_part_missing: { exit: 16, mend: 'Take an older backup, and find out who deleted from the store.' },
  backup_part_truncated: { exit: 17, mend: 'Take an older backup, and check the store for lost writes.' },
  backup_part_changed: { exit: 18, mend: 'Take an older backup, and check the store: bit rot, or a hand.' },
  restore_dump_empty: { exit: 19, mend: 'Take an older backup; DATABASE_URL_BACKUP may name an empty database.' },
  restore_dump_unreadable: { exit: 20, mend: 'Take an older backup.' },
  restore_failed: { exit: 21, mend: "Read pg_restore's words above; a full disk of the server is among them." },
  restore_dump_partial: { exit: 33, mend: 'Take an older backup.' },
  proof_schema_version: {
    exit: 22,
    mend: 'The dump is not the one that its manifest describes: take an older backup.',
  },
  proof_schema_newer: { exit: 23, mend: 'Restore it with the release of Klar that made it, or a newer one.' },
  proof_rows: { exit: 24, mend: 'Rows were lost or added on the way: take an older backup, keep this one to look at.' },
  proof_content: { exit: 25, mend: 'Rows were changed on the way: take an older backup, keep this one to look at.' },
  proof_money: { exit: 26, mend: 'Money differs: take an older backup, keep this one to look at.' },
  proof_rls: { exit: 27, mend: 'Run klar schema check on production now: tenants may see each other there too.' },
  proof_rules: { exit: 28, mend: 'Run klar schema check on production.' },
  proof_catalog: { exit: 29, mend: 'Compare klar schema export of production with that of a restored copy.' },
  proof_constraints: { exit: 30, mend: 'Validate the constraint, or make the index again, in production.' },
  proof_sequences: { exit: 31, mend: 'The next insert would collide: take an older backup.' },
  proof_tenants: { exit: 32, mend: 'Run klar schema check on production now: tenants may see each other there too.' },
  restore_target_production: { exit: 40, mend: 'Name another server, or say --allow-production-server.' },
  restore_target_unfit: { exit: 41, mend: 'See docs/disaster-recovery.md for what the server and its login need.' },
  restore_target_not_empty: { exit: 42, mend: 'Name an empty database: klar restore never overwrites one.' },
  restore_target_incomplete: { exit: 43, mend: 'klar restore --again drops what is half restored and begins anew.' },
  restore_target_busy: { exit: 44, mend: 'Wait for the other restore, or end it.' },
  restore_target_unreachable: { exit: 45, mend: 'Check that it is up, and its name, port and password.' },
  restore_tools: { exit: 46, mend: 'Build the image with a newer client: --build-arg PG_CLIENT=<major>.' },
  restore_timed_out: { exit: 47, mend: 'Give it more jobs (BACKUP_JOBS), a faster server, or a longer deadline.' },
  restore_stopped: { exit: 48, mend: 'Run it again.' },
  restore_not_confirmed: { exit: 49, mend: 'Type the name of the database, or say --yes.' },
  backup_identity_missing: { exit: 50, mend: 'Set BACKUP_IDENTITY to the private key.' },
  backup_identity_wrong: {
    exit: 51,
    mend: 'Set BACKUP_IDENTITY to the key that belongs to BACKUP_ENCRYPT_TO of then.',
  },
  backup_store_unreachable: { exit: 52, mend: 'Check BACKUP_URL, S3_ENDPOINT, and the way there.' },
  backup_store_refused: { exit: 53, mend: 'Check the AWS_* keys or the rights on the folder: reading is enough.' },
  backup_store_failed: { exit: 54, mend: 'Try again; look at the health of the store.' },
  backup_work_full: { exit: 55, mend: 'Give BACKUP_WORK_DIR more room.' },
  backup_work_refused: { exit: 56, mend: 'Set BACKUP_WORK_DIR to a folder of its user.' },
} as const satisfies Record<string, { exit: number; mend: string }>;

export type RestoreFailureCode = keyof typeof RESTORE_FAILURES;

const FIRST_OF_THE_PLACE = 40;

/**
 * What says nothing of the backup: a wrong key or a server that is away must not turn a proven backup into a broken one,
 * which the retention would then give up for one that nobody has proven.
 */
export const OF_THE_PLACE: readonly RestoreFailureCode[] = Object.entries(RESTORE_FAILURES)
  .filter(([, { exit }]) => exit >= FIRST_OF_THE_PLACE)
  .map(([code]) => code as RestoreFailureCode);

/** Something that ended a restore, with a code of the list. */
export class RestoreFailure extends KlarError {
  declare readonly code: RestoreFailureCode;
  readonly exitCode: number;
  constructor(code: RestoreFailureCode, detail: string, cause?: unknown) {
    super('unprocessable', code, detail, cause === undefined ? {} : { cause });
    this.name = 'RestoreFailure';
    this.exitCode = RESTORE_FAILURES[code].exit;
  }
}

/** An error as one of the list, or undefined when it is none of these. */
export function restoreFailure(error: unknown): RestoreFailure | undefined {
  if (error instanceof RestoreFailure) return error;
  if (error instanceof Error && /^SIG[A-Z]+$/.test(error.message)) {
    return new RestoreFailure('restore_stopped', `It was ended by ${error.message}.`, error);
  }
  if (!(error instanceof KlarError)) return undefined;
  // The deadline of a task is the time limit of a restore.
  if (error.code === 'task_deadline') return new RestoreFailure('restore_timed_out', error.detail, error);
  if (!Object.hasOwn(RESTORE_FAILURES, error.code)) return undefined;
  return new RestoreFailure(error.code as RestoreFailureCode, error.detail, error);
}

/** What a person reads: what is wrong, and what to do. */
export function failureText({ code, detail }: { code: RestoreFailureCode; detail: string }): string {
  return `${detail} ${RESTORE_FAILURES[code].mend}`;
}
