/** What kinds of secrets there are and what each needs of a rotation: the whole of it, as data. */

export type KindFacts = {
  /** Which settings it can rotate. */
  fits: RegExp;
  /**
   * Seconds for which no pod may have seen the old value used, and for which no pod may have handed out anything under
   * it, before it dies. By the pods' monotonic clocks, so that no step of a wall clock shortens it.
   */
  quietS: number;
  /** What the controller must be given to rotate it, where it is not always able to. */
  needs?: string;
  /** What an emergency rotation costs, said before it starts: it waits for none of that. */
  emergencyCost: string;
};

export const KINDS = {
  'admin-token': {
    fits: /^ADMIN_TOKEN$/,
    quietS: 60,
    emergencyCost: 'Scripts and monitors that send the old ADMIN_TOKEN get 401 until they are given the new one.',
  },
  'jwt-key': {
    fits: /^AUTH_JWT_KEY$/,
    // Tokens live 300 s (domain/identity/rules.ts); 30 s for clocks that differ.
    quietS: 330,
    emergencyCost: 'Every access token dies at once; clients refresh (one 401 each), and nobody has to log in again.',
  },
  'api-key-pepper': {
    fits: /^API_SECRET_SALT$/,
    quietS: 60,
    emergencyCost: 'API keys stay; list cursors that clients hold become invalid, and they begin at the first page.',
  },
  'postgres-login': {
    fits: /^DATABASE_URL_(API|AUTH|INGEST|WORKER|CONTROLLER|BACKUP|RESTORE|CLEANUP|OPS)$/,
    quietS: 60,
    emergencyCost:
      'Sessions of the old login are ended: their transactions roll back, and requests under way answer 503.',
  },
  'stripe-webhook': {
    fits: /^STRIPE_WEBHOOK_SECRET$/,
    needs: 'set STRIPE_ROTATION_KEY',
    // The longest that Stripe waits for an answer, and its tolerance on both sides.
    quietS: 600,
    emergencyCost:
      'Events signed with the old secret that are on their way are refused; Stripe delivers them to the new endpoint too.',
  },
  'livekit-key': {
    fits: /^LIVEKIT_API_SECRET$/,
    needs: 'set LIVEKIT_URL and LIVEKIT_KEY_FILE',
    // A join token is taken until it ends, minutes after it was made.
    quietS: 900,
    emergencyCost: 'Tokens for rooms that were handed out and not used yet are refused; clients ask for another.',
  },
  // Nobody but a person can make these; the controller says when one is overdue.
  manual: {
    fits: /./,
    quietS: 0,
    emergencyCost: 'Nothing: a person rotates it.',
  },
} as const satisfies Record<string, KindFacts>;

export type Kind = keyof typeof KINDS;
export const KIND_NAMES = Object.keys(KINDS) as Kind[];
export const isKind = (text: string): text is Kind => Object.hasOwn(KINDS, text);

/** Why nothing here rotates a kind, and what mends it. */
export function notPossible(kind: Kind): string {
  const facts: KindFacts = KINDS[kind];
  return `nothing here can rotate a ${kind}${facts.needs ? `: ${facts.needs} for the controller` : ''}`;
}

/** The kind that a secret of this name would have: what a mended policy should say. */
export function kindFor(secret: string): Kind {
  return KIND_NAMES.find((kind) => kind !== 'manual' && KINDS[kind].fits.test(secret)) ?? 'manual';
}
