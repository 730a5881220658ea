/** Attempts before a delivery is dead: with the waits below, a mail server may be away for 44 hours. */
export const MAX_ATTEMPTS = 18;

/** Long enough for connect, greeting and socket timeouts of one attempt together; after it the row is free again. */
export const LEASE_SECONDS = 120;

/** Seconds before the next attempt: 15 s, doubled each time, at most six hours, spread by +-20 % (`random` in 0..1). */
export function backoffSeconds(attempt: number, random: number): number {
  const base = Math.min(15 * 2 ** Math.max(0, attempt - 1), 6 * 3600);
  return Math.round(base * (0.8 + 0.4 * random));
}

export type SendOutcome =
  | { kind: 'sent' }
  | { kind: 'failed'; error: string }
  /** `address`: the mail server refused the recipient, which is nobody's fault here. */
  | { kind: 'dead'; error: string; address?: boolean };

interface SmtpFailure {
  responseCode?: unknown;
  code?: unknown;
  command?: unknown;
}

/**
 * What an SMTP failure means. RFC 5321 section 4.2.1: 5yz is permanent, 4yz is transient; no answer is transient too.
 * The text is ours: a server's answer may repeat the message, and with it a secret link.
 */
export function outcomeOfFailure(failure: unknown): SendOutcome {
  const { responseCode, code, command } = (failure ?? {}) as SmtpFailure;
  const said = typeof responseCode === 'number' ? `SMTP ${responseCode}` : 'no SMTP answer';
  const why = typeof code === 'string' && /^[A-Z_]{1,30}$/.test(code) ? `, ${code}` : '';
  const error = said + why;
  // A refused login or greeting is a fault of our settings, not of the message: it is mended, then sent.
  const ours = code === 'EAUTH' || command === 'CONN' || command === 'EHLO' || command === 'HELO';
  if (typeof responseCode === 'number' && responseCode >= 500 && !ours) {
    return { kind: 'dead', error, ...(command === 'RCPT TO' ? { address: true } : {}) };
  }
  return { kind: 'failed', error };
}

/** What becomes of the row: a transient failure is dead when it was the last attempt. */
export function settle(outcome: SendOutcome, attempt: number): SendOutcome {
  if (outcome.kind === 'failed' && attempt >= MAX_ATTEMPTS) return { kind: 'dead', error: outcome.error };
  return outcome;
}

/**
 * The same for every attempt of a delivery, so that a message sent twice (a crash between the server's
 * acceptance and our commit) is recognized as one by the reader's mail program.
 */
export function messageId(deliveryId: string, from: string): string {
  const host = /@([A-Za-z0-9.-]+)/.exec(from)?.[1] ?? 'klar.invalid';
  return `<${deliveryId}@${host}>`;
}
