import type { ServerFacts } from '#platform/db/setup.ts';
import type { Manifest } from './manifest.ts';
import type { Finding } from './proof-compare.ts';
import { majorOf } from './restore-tools.ts';

/** Below this nobody tests; design: PostgreSQL 15 or newer. */
const OLDEST_SERVER = 150_000;

export interface ServerDemands {
  manifest: Pick<Manifest, 'server_version'>;
  /** Makes a database beside the one of the URL. */
  createsDatabase: boolean;
  /** The server that the backup must not touch, and whether it may all the same. */
  production?: { identifier: string | undefined; allowed: boolean } | undefined;
}

/** Why a backup can not be restored on this server by this login; empty when it can. */
export function judgeServer(facts: ServerFacts, demands: ServerDemands): Finding[] {
  const findings: Finding[] = [];
  const unfit = (detail: string) => findings.push({ code: 'restore_target_unfit', detail });
  const { manifest, production } = demands;
  if (production !== undefined && !production.allowed && production.identifier === facts.systemIdentifier) {
    const detail = `The server of ${facts.login}@${facts.database} is production's own (system identifier ${facts.systemIdentifier}).`;
    findings.push({ code: 'restore_target_production', detail });
  }
  if (facts.version < OLDEST_SERVER)
    unfit(`The server is PostgreSQL ${facts.versionText}; 15 is the oldest that Klar takes.`);
  const major = Math.floor(facts.version / 10_000);
  if (major < majorOf(manifest.server_version)) {
    unfit(
      `The server is PostgreSQL ${major}, the backup comes from ${majorOf(manifest.server_version)}; a dump goes up, not down.`,
    );
  }
  if (demands.createsDatabase && !facts.mayCreateDatabases)
    unfit(`${facts.login} may not create databases: alter role ${facts.login} createdb.`);
  if (!facts.superuser) {
    if (!facts.bypassesRls)
      unfit(`${facts.login} sees no rows under row level security: alter role ${facts.login} bypassrls.`);
    if (facts.missingRoles.length > 0) {
      unfit(
        `The server lacks ${facts.missingRoles.length} roles of Klar (${facts.missingRoles[0]}, ...): run klar roles ensure there as a superuser.`,
      );
    } else {
      for (const role of ['klar_owner', 'klar_api']) {
        if (!facts.mayBecome.includes(role))
          unfit(`${facts.login} may not become ${role}: grant ${role} to ${facts.login}.`);
      }
    }
  }
  return findings;
}
