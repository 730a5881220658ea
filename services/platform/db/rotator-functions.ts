import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type pg from 'pg';
import { ROTATOR_ROLE } from './role-names.ts';

/** The text that came with this release, and not what a database says: that one is what is in question. */
const TEXT = path.resolve(import.meta.dirname, '../../../migrations/0105_secrets.sql');
const NAMES = ['set_login_verifier', 'end_login_sessions'];

/** Who may call them, as the catalog writes it: the owner, and the controller. */
const ACL = [`klar_controller=X/${ROTATOR_ROLE}`, `${ROTATOR_ROLE}=X/${ROTATOR_ROLE}`];

/**
 * Sees to it that the functions which only work when the rotator owns them are its own, and are ours. A migration or a
 * restore makes them the owner's, who cannot hand them over: that would need membership in the rotator, and with it in every
 * login. What stands under their names is never handed over itself: whoever may write the schema could have put anything
 * there, and it would run with the rotator's rights. So they are made anew. None where the schema has none.
 */
export async function ensureRotatorFunctions(client: pg.Client, change: (sql: string, label: string) => Promise<void>) {
  const migration = await readFile(TEXT, 'utf8');
  for (const name of NAMES) {
    const made = new RegExp(
      `create function ops\\.${name}\\((.+)\\) returns (\\w+)\\n[^$]*as \\$\\$([\\s\\S]*?)\\$\\$;`,
    ).exec(migration);
    const [statement, parameters = '', returns, body] = made ?? [];
    if (statement === undefined) throw new Error(`${TEXT} has no function ops.${name}`);
    const types = parameters.split(', ').map((one) => one.split(' ')[1]);
    const signature = `ops.${name}(${types.join(', ')})`;
    const { rows } = await client.query(
      `select o.rolname = $2 and p.prosrc = $3 and p.prosecdef and l.lanname = 'plpgsql'
          and p.proargnames = $4::text[] and p.prorettype = $5::regtype
          and p.proconfig = array['search_path=pg_catalog, pg_temp']
          and (select array_agg(a::text order by a::text) from unnest(p.proacl) a) = $6::text[] as ours
       from pg_proc p join pg_roles o on o.oid = p.proowner join pg_language l on l.oid = p.prolang
       where p.oid = to_regprocedure($1)`,
      [signature, ROTATOR_ROLE, body, parameters.split(', ').map((one) => one.split(' ')[0]), returns, ACL],
    );
    const [found] = rows as { ours: boolean | null }[];
    if (!found || found.ours) continue;
    // Dropped, not replaced: a replaced one keeps whom it was granted to.
    await change(
      `drop function ${signature};
       ${statement}
       revoke all on function ${signature} from public;
       grant execute on function ${signature} to klar_controller;
       alter function ${signature} owner to ${ROTATOR_ROLE}`,
      `create function ${signature}, owned by ${ROTATOR_ROLE}`,
    );
  }
}
