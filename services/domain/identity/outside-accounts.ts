import { isAddress, isDisplayName } from '#domain/notifications/index.ts';
import { sha256 } from '#platform/crypto/index.ts';
import { type Db, isUniqueViolation, type Tx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { type PersonPrincipal, sessionEnded } from './access-token.ts';
import type { Outbox } from './outbox.ts';
import type { OutsideClaims } from './outside-issuers.ts';
import { OUTSIDE_CACHE_MS } from './rules.ts';
import * as people from './store/people.ts';

/** Persons behind accounts at outside issuers. */
export interface OutsideAccounts {
  /**
   * The person an outside token speaks for; the first sight of a subject makes one.
   * @throws KlarError forbidden `outside_account_without_email`, `account_link_refused`
   */
  resolve(claims: OutsideClaims, token: string): Promise<PersonPrincipal>;
  /** Forgets what is cached, e.g. after the person's outside tokens were refused. */
  forget(personId: string): void;
}

/** Bounds the cache: entries are small, but subjects are the issuer's to make up. */
const CACHE_ENTRIES = 10_000;

interface Cached {
  person: people.OutsidePersonRow;
  at: number;
}

export function createOutsideAccounts(deps: {
  db: Db;
  outbox: Outbox;
  metrics: Metrics;
  monotonic?: () => number;
}): OutsideAccounts {
  const monotonic = deps.monotonic ?? (() => performance.now());
  const cache = new Map<string, Cached>();
  const seen = deps.metrics.counter(
    'klar_identity_outside_accounts_total',
    'Accounts of outside issuers, by what their first sight did',
    ['result'],
  );

  async function load(claims: OutsideClaims): Promise<people.OutsidePersonRow> {
    const key = `${claims.issuer}\n${claims.subject}`;
    const hit = cache.get(key);
    const proves = claims.emailVerified && hit?.person.email === claims.email && !hit?.person.email_verified;
    if (hit !== undefined && !proves && monotonic() - hit.at < OUTSIDE_CACHE_MS) return hit.person;
    const at = monotonic();
    const person = await firstSight(claims);
    if (cache.size >= CACHE_ENTRIES) cache.clear();
    cache.set(key, { person, at });
    return person;
  }

  async function firstSight(claims: OutsideClaims): Promise<people.OutsidePersonRow> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await deps.db.withTx((tx) => findOrMake(tx, claims));
      } catch (error) {
        // Two first requests at once: the second finds what the first made.
        if (attempt < 3 && isUniqueViolation(error)) continue;
        throw error;
      }
    }
  }

  async function findOrMake(tx: Tx, claims: OutsideClaims): Promise<people.OutsidePersonRow> {
    const { issuer, subject, email, emailVerified } = claims;
    const known = await people.outside(tx, issuer, subject);
    if (known !== undefined) {
      if (known.email_verified || !emailVerified || known.email !== email) return known;
      await people.verify(tx, known.id);
      await deps.outbox.emit(tx, note('people.verify_email', known.id, { issuer }));
      return { ...known, email_verified: true };
    }
    if (email === undefined || !isAddress(email)) {
      throw fail.forbidden(
        'outside_account_without_email',
        'The token carries no usable e-mail address (claim "email").',
      );
    }
    const owner = await people.byEmail(tx, email);
    if (owner !== undefined) return link(tx, claims, owner);
    const id = tx.newId('usr');
    const name = nameOf(claims, email);
    await people.insertOutsidePerson(tx, { id, email, emailVerified, name });
    await people.linkOutside(tx, id, issuer, subject);
    await deps.outbox.emit(tx, note('people.register', id, { issuer }));
    tx.afterCommit(() => seen.inc({ result: 'registered' }));
    return { id, email, email_verified: emailVerified, name, two_factor_enabled: false, tokens_valid_after_s: 0 };
  }

  /**
   * Both sides must have proven the mailbox. Ours: else somebody registers your address first and waits for your
   * issuer to let you into their account. Theirs: else a lax issuer lets anybody claim your address. And where a second
   * factor is on, a mailbox is not enough to come in past it.
   */
  async function link(tx: Tx, claims: OutsideClaims, owner: people.PersonRow): Promise<people.OutsidePersonRow> {
    if (!claims.emailVerified || !owner.email_verified || owner.two_factor_enabled) {
      seen.inc({ result: 'refused' });
      throw fail.forbidden(
        'account_link_refused',
        'This address already has an account. Log in there; to link it, verify the address there (a password reset does) and at your issuer, and link before a second factor is on.',
      );
    }
    await people.linkOutside(tx, owner.id, claims.issuer, claims.subject);
    await deps.outbox.emit(tx, note('people.link_issuer', owner.id, { issuer: claims.issuer }));
    tx.afterCommit(() => seen.inc({ result: 'linked' }));
    const linked = await people.outside(tx, claims.issuer, claims.subject);
    if (linked === undefined) throw new Error('a linked account is gone');
    return linked;
  }

  return {
    async resolve(claims, token) {
      const person = await load(claims);
      if (claims.issuedAtS <= person.tokens_valid_after_s) throw sessionEnded();
      const handle = sha256(`${claims.issuer}\n${claims.tokenId ?? token}`)
        .toString('hex')
        .slice(0, 32);
      return {
        kind: 'person',
        personId: person.id,
        sessionId: `out_${handle}`,
        email: person.email,
        emailVerified: person.email_verified,
        name: person.name,
      };
    },
    forget(personId) {
      for (const [key, { person }] of cache) if (person.id === personId) cache.delete(key);
    },
  };
}

function nameOf(claims: OutsideClaims, email: string): string {
  const name = claims.name?.trim() ?? '';
  return name !== '' && isDisplayName(name) ? name : (email.split('@')[0] ?? email);
}

const note = (
  action: 'people.register' | 'people.link_issuer' | 'people.verify_email',
  id: string,
  details: Record<string, unknown>,
) => ({
  audit: { action, actor: { kind: 'person' as const, id }, object: { type: 'person', id }, details },
});
