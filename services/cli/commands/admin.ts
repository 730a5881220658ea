import {
  grantPlatformAdmin,
  isPlatformPermission,
  listPlatformAdmins,
  PLATFORM_PERMISSIONS,
  revokePlatformAdmin,
} from '#domain/tenancy/index.ts';
import { fail } from '#platform/errors/index.ts';
import { isId } from '#platform/ids/index.ts';
import { type Command, type CommandInput, EXIT } from '../command.ts';
import { operator } from '../operator.ts';
import { withOps } from './ops-db.ts';

const NOTES =
  'Platform administrators use /api/admin with their own login; the role holds from their next request on. ' +
  'Connects as klar_ops with DATABASE_URL_OPS or DATABASE_URL. Every change is audited with actor and reason.';

const REASON = { type: 'string', value: 'text', description: 'Why; kept in the audit log' } as const;
const PERSON = { name: 'person-id', description: 'The person, usr_...' };

/** Who acts, and on whom; whoever is at the keyboard is known only by the system's login. */
function change({ arguments: [personId = ''], options }: CommandInput) {
  if (!isId('usr', personId)) throw fail.invalid('invalid_person_id', `"${personId}" is no person's id (usr_...).`);
  const reason = String(options.reason ?? '').trim();
  if (reason === '') throw fail.invalid('reason_required', 'Say why: --reason "on call from May on".');
  return { personId, reason, by: operator() };
}

/** `klar admin grant`: a second grant replaces the permissions of the first. */
export const adminGrant: Command = {
  arguments: [PERSON],
  options: {
    reason: REASON,
    permission: {
      type: 'string',
      multiple: true,
      choices: PLATFORM_PERMISSIONS,
      description: 'What they may do; without it everything',
    },
  },
  notes: NOTES,
  async run(input) {
    const asked = (input.options.permission as string[] | undefined) ?? PLATFORM_PERMISSIONS;
    const permissions = asked.filter(isPlatformPermission);
    const who = change(input);
    await withOps(input, (db) => grantPlatformAdmin(db, { ...who, permissions }));
    input.answer(
      { person_id: who.personId, permissions },
      `${who.personId} is a platform administrator: ${permissions.join(', ')}`,
    );
    return EXIT.ok;
  },
};

/** `klar admin revoke`: holds from the person's next request on. */
export const adminRevoke: Command = {
  arguments: [PERSON],
  options: { reason: REASON },
  notes: NOTES,
  async run(input) {
    const who = change(input);
    const revoked = await withOps(input, (db) => revokePlatformAdmin(db, who));
    input.answer(
      { person_id: who.personId, revoked },
      revoked ? `${who.personId} is no platform administrator any more.` : `${who.personId} was none.`,
    );
    return EXIT.ok;
  },
};

export const adminList: Command = {
  notes: NOTES,
  async run(input) {
    const admins = await withOps(input, listPlatformAdmins);
    input.answer(
      admins.map((row) => ({
        person_id: row.personId,
        permissions: row.permissions,
        granted_by: row.grantedBy,
        granted_at: row.grantedAt.toISOString(),
      })),
      admins.length === 0
        ? 'There are no platform administrators besides ADMIN_TOKEN.'
        : admins.map((row) => `${row.personId}  ${row.grantedAt.toISOString()}  ${row.permissions.join(' ')}`),
    );
    return EXIT.ok;
  },
};
