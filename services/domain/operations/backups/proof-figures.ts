import { createHash } from 'node:crypto';
import type { Tx } from '#platform/db/index.ts';
import { catalogTextIn } from '#platform/db/setup.ts';
import { type MoneySum, readIdentity, readTableFigures, type TableFigures } from '../store/figures.ts';

export type { MoneySum, TableFigures } from '../store/figures.ts';

/** What is true of a database, in the form that a manifest keeps and a restored copy is compared with. */
export interface Figures {
  schema_version: number;
  /** Tables, policies, grants, functions; not the roles, which belong to the server. */
  catalog_sha256: string;
  tables: TableFigures[];
  sums: MoneySum[];
  system_identifier: string;
}

/**
 * Reads the figures in the snapshot of `tx` (repeatable read, read only), as a role that row level security does not
 * hold. Not the sequences: they are no part of a snapshot, so a backup under load could never compare them.
 */
export async function readFigures(tx: Tx): Promise<Figures> {
  const { schema_version, system_identifier } = await readIdentity(tx);
  const { tables, sums } = await readTableFigures(tx);
  const catalog_sha256 = createHash('sha256')
    .update(await catalogTextIn(tx))
    .digest('hex');
  return { schema_version, catalog_sha256, tables, sums, system_identifier };
}
