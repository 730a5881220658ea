import { fail, type KlarError } from '#platform/errors/index.ts';

export const INVITATION_DAYS = 7;
/**
 * Invitations of one school within 24 hours. Anybody may open a school and choose its name, so without a limit
 * anybody could have us mail anything to everybody; a large school invites its people over a few days.
 */
export const INVITATIONS_PER_DAY = 500;

/** 32 random bytes in base64url. */
export const INVITATION_TOKEN = /^[A-Za-z0-9_-]{43}$/;

export type InvitationState = 'pending' | 'accepted' | 'revoked';

/** An invitation and who holds its token, as far as the decision needs it. */
export interface Acceptance {
  invitation: { email: string; state: InvitationState; expired: boolean; acceptedBy: string | null };
  person: { personId: string; email: string; emailVerified: boolean };
}

/**
 * 'accept', 'again' (this person has accepted it: the answer is repeated), or why not. The address is compared
 * first: who merely found a link learns nothing about it.
 */
export function decideAcceptance({ invitation, person }: Acceptance): 'accept' | 'again' | KlarError {
  if (invitation.email !== person.email) {
    return fail.forbidden('invitation_for_another_address', 'This invitation was sent to another e-mail address.');
  }
  if (!person.emailVerified) {
    return fail.forbidden(
      'email_unverified',
      'Confirm your e-mail address first: an invitation belongs to its address.',
    );
  }
  if (invitation.state === 'accepted') {
    if (invitation.acceptedBy === person.personId) return 'again';
    return fail.conflict('invitation_used', 'This invitation has been used.');
  }
  if (invitation.state === 'revoked') return fail.gone('invitation_revoked', 'This invitation was withdrawn.');
  if (invitation.expired) return fail.gone('invitation_expired', 'This invitation has expired: ask for a new one.');
  return 'accept';
}
