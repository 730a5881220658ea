import { statement, type Tx } from '#platform/db/index.ts';

export interface PlatformAdminRow {
  personId: string;
  permissions: string[];
  grantedBy: string;
  grantedAt: Date;
}

const COLUMNS = `person_id as "personId", permissions, granted_by as "grantedBy", granted_at as "grantedAt"`;

const readAdmin = statement<PlatformAdminRow>(
  'tenancy.read_platform_admin',
  `select ${COLUMNS} from ops.platform_admins where person_id = $1`,
);

const listAdmins = statement<PlatformAdminRow>(
  'tenancy.list_platform_admins',
  `select ${COLUMNS} from ops.platform_admins order by person_id`,
);

const upsertAdmin = statement(
  'tenancy.upsert_platform_admin',
  `insert into ops.platform_admins (person_id, permissions, granted_by) values ($1, $2, $3)
   on conflict (person_id) do update
     set permissions = excluded.permissions, granted_by = excluded.granted_by, granted_at = now()`,
);

const deleteAdmin = statement('tenancy.delete_platform_admin', 'delete from ops.platform_admins where person_id = $1');

export const read = (tx: Tx, personId: string) => tx.maybe(readAdmin, [personId]);
export const list = (tx: Tx) => tx.rows(listAdmins);
export const upsert = (tx: Tx, personId: string, permissions: readonly string[], grantedBy: string) =>
  tx.run(upsertAdmin, [personId, permissions, grantedBy]);
export const remove = async (tx: Tx, personId: string) => (await tx.run(deleteAdmin, [personId])) === 1;
