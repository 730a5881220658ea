import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';

/** PostgreSQL's own default. */
const ITERATIONS = 4096;

/**
 * The value PostgreSQL stores for a password (RFC 5803), made here so that the server never sees the clear text.
 * Passwords are printable ASCII: others would need SASLprep.
 */
export function scramVerifier(password: string, salt: Buffer = randomBytes(16), iterations = ITERATIONS): string {
  if (!/^[\x20-\x7e]+$/.test(password)) throw new TypeError('a database password is printable ASCII and not empty');
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const hmac = (text: string) => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${hmac('Server Key').toString('base64')}`;
}

/** Whether a stored verifier was made from this password. */
export function matchesVerifier(password: string, verifier: string): boolean {
  const parts = /^SCRAM-SHA-256\$(\d+):([^$]+)\$/.exec(verifier);
  if (parts?.[1] === undefined || parts[2] === undefined) return false;
  const again = Buffer.from(scramVerifier(password, Buffer.from(parts[2], 'base64'), Number(parts[1])));
  const stored = Buffer.from(verifier);
  return again.length === stored.length && timingSafeEqual(again, stored);
}
