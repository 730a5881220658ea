import type pg from 'pg';
import { ROTATOR_ROLE } from './role-names.ts';

/** A function as migration 0105 makes it; a test compares the two. */
type RotatorFunction = { name: string; arguments: string; names: string[]; returns: string; body: string };

const FUNCTIONS: RotatorFunction[] = [
  {
    name: 'set_login_verifier',
    arguments: 'text, text',
    names: ['login', 'verifier'],
    returns: 'void',
    body: `
declare
  mine text := 'klar: ' || current_database();
  owner text := shobj_description(to_regrole(login), 'pg_authid');
begin
  if login !~ '^klar_(api|auth|ingest|worker|controller|backup|restore|cleanup|ops)_[ab]$' then
    raise exception 'no login whose password rotates' using errcode = '22023';
  end if;
  -- One that is gone, or was renamed, uses nothing.
  if owner <> mine and exists (select from pg_database d where 'klar: ' || d.datname = owner) then
    raise exception 'its password is of the installation in another database' using errcode = '55006';
  end if;
  if verifier is null then
    execute format('alter role %I password null', login);
    execute format('comment on role %I is null', login);
  elsif verifier ~ '^SCRAM-SHA-256\\$[0-9]{4,6}:[A-Za-z0-9+/=]{16,64}\\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}$' then
    execute format('alter role %I password %L', login, verifier);
    execute format('comment on role %I is %L', login, mine);
  else
    raise exception 'not a SCRAM-SHA-256 verifier' using errcode = '22023';
  end if;
end
`,
  },
  {
    name: 'end_login_sessions',
    arguments: 'text',
    names: ['login'],
    returns: 'integer',
    body: `
begin
  if login !~ '^klar_(api|auth|ingest|worker|controller|backup|restore|cleanup|ops)_[ab]$' then
    raise exception 'no login whose password rotates' using errcode = '22023';
  end if;
  return (select count(*) filter (where pg_terminate_backend(a.pid)) from pg_stat_activity a where a.usename = login);
end
`,
  },
];

/** Who may call them, as the catalog writes it: the owner, and the controller. */
const ACL = [`klar_controller=X/${ROTATOR_ROLE}`, `${ROTATOR_ROLE}=X/${ROTATOR_ROLE}`];

/**
 * Sees to it that the functions which only work when the rotator owns them are its own, and are these. A migration or a
 * restore makes them the owner's, who cannot hand them over: that would need membership in the rotator, and with it in every
 * login. What stands under their names is never handed over itself: whoever may write the schema could have put anything
 * there, and it would run with the rotator's rights. So they are made anew from the text here. None where the schema has none.
 */
export async function ensureRotatorFunctions(client: pg.Client, change: (sql: string, label: string) => Promise<void>) {
  for (const one of FUNCTIONS) {
    const signature = `ops.${one.name}(${one.arguments})`;
    const { rows } = await client.query(
      `select o.rolname = $2 and p.prosrc = $3 and p.prosecdef and l.lanname = 'plpgsql'
          and p.proargnames = $4::text[] and p.prorettype = $5::regtype
          and p.proconfig = array['search_path=pg_catalog, pg_temp']
          and (select array_agg(a::text order by a::text) from unnest(p.proacl) a) = $6::text[] as ours
       from pg_proc p join pg_roles o on o.oid = p.proowner join pg_language l on l.oid = p.prolang
       where p.oid = to_regprocedure($1)`,
      [signature, ROTATOR_ROLE, one.body, one.names, one.returns, ACL],
    );
    const [found] = rows as { ours: boolean | null }[];
    if (!found || found.ours) continue;
    const parameters = one.arguments.split(', ').map((type, index) => `${one.names[index]} ${type}`);
    // Dropped, not replaced: a replaced one keeps whom it was granted to.
    await change(
      `drop function ${signature};
       create function ops.${one.name}(${parameters.join(', ')}) returns ${one.returns}
       language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
       as $rotator$${one.body}$rotator$;
       revoke all on function ${signature} from public;
       grant execute on function ${signature} to klar_controller;
       alter function ${signature} owner to ${ROTATOR_ROLE}`,
      `create function ${signature}, owned by ${ROTATOR_ROLE}`,
    );
  }
}
