/** What a person is told of a database that cannot be reached or does not let in, and how to mend it. */
export type Explained = { code: string; text: string };

const MENDS: Record<string, { code: string; text(said: string): string }> = {
  ECONNREFUSED: {
    code: 'database_unreachable',
    text: (said) => `Nothing answers where the database should be (${said}). Is it running? On a laptop: npm start`,
  },
  ENOTFOUND: {
    code: 'database_unreachable',
    text: (said) =>
      `The name of the database's host is not known here (${said}). Mend the host in the database URL; in a cluster a ` +
      'service of another namespace is called <service>.<namespace>.',
  },
  EAI_AGAIN: {
    code: 'database_unreachable',
    text: (said) =>
      `The name server does not answer (${said}). Try again; if it stays so, look at DNS and at the egress to it.`,
  },
  ETIMEDOUT: {
    code: 'database_unreachable',
    text: (said) =>
      `The database does not answer (${said}). Something drops the packets: look at host and port, at firewalls and ` +
      'NetworkPolicies in between, and whether its machine is up.',
  },
  EHOSTUNREACH: {
    code: 'database_unreachable',
    text: (said) =>
      `There is no way to the database's host (${said}). Is its machine up and in this network, and does a NetworkPolicy ` +
      'let this pod out?',
  },
  '28P01': {
    code: 'database_login_refused',
    text: (said) =>
      `The database refuses the login (${said}). Mend user or password in the database URL, or give the role that ` +
      'password with klar roles ensure.',
  },
  '28000': {
    code: 'database_login_refused',
    text: (said) =>
      `The database does not let this login in (${said}). Make the roles with klar roles ensure; if it is there, let it in ` +
      'by pg_hba.conf (host, database, TLS).',
  },
  '3D000': {
    code: 'database_missing',
    text: (said) =>
      `The server has no such database (${said}). Mend the name at the end of the database URL, or make it ` +
      '(create database klar), then klar roles ensure and klar migrate.',
  },
};
MENDS.ENETUNREACH = MENDS.EHOSTUNREACH as (typeof MENDS)[string];

/**
 * The mend for an error of the way to the database; undefined for every other. Looks into causes, as the pool answers
 * callers with an error of its own, and into the list of a host that has several addresses.
 */
export function explainDatabaseError(error: unknown): Explained | undefined {
  for (let at = error, depth = 0; typeof at === 'object' && at !== null && depth < 5; depth += 1) {
    const { code, message, cause, errors } = at as {
      code?: unknown;
      message?: string;
      cause?: unknown;
      errors?: { message?: string }[];
    };
    const mend = typeof code === 'string' && Object.hasOwn(MENDS, code) ? MENDS[code] : undefined;
    if (mend) return { code: mend.code, text: mend.text(message || errors?.[0]?.message || String(code)) };
    at = cause;
  }
  return undefined;
}
