import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { fail } from '#platform/errors/index.ts';

/** Added to the name of an encrypted part. */
export const ENCRYPTED_SUFFIX = '.age';

/** The recipients of BACKUP_ENCRYPT_TO: `age1...`, separated by commas. */
export function recipientsOf(setting: string | undefined): string[] {
  return (setting ?? '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '');
}

/** Refuses a key that cannot be one before anything was dumped. @throws KlarError `backup_recipient_wrong` */
export async function checkRecipients(recipients: readonly string[]): Promise<void> {
  if (recipients.length > 0) await encrypter(recipients);
}

/** Encrypts a stream to public keys (https://age-encryption.org/v1). */
export async function encrypt(source: Readable, recipients: readonly string[]): Promise<Readable> {
  const age = await encrypter(recipients);
  return fromWeb(await age.encrypt(toWeb(source)));
}

async function encrypter(recipients: readonly string[]) {
  const { Encrypter } = await import('age-encryption');
  const age = new Encrypter();
  for (const recipient of recipients) {
    try {
      age.addRecipient(recipient);
    } catch (cause) {
      throw fail.invalid(
        'backup_recipient_wrong',
        `BACKUP_ENCRYPT_TO: ${recipient.slice(0, 12)}... is no age public key.`,
        undefined,
        { cause },
      );
    }
  }
  return age;
}

/** Decrypts a stream. @throws KlarError `backup_identity_wrong` when the header is for another key */
export async function decrypt(source: Readable, identity: string): Promise<Readable> {
  const { Decrypter } = await import('age-encryption');
  const age = new Decrypter();
  try {
    age.addIdentity(identity);
  } catch (cause) {
    throw fail.invalid('backup_identity_wrong', 'BACKUP_IDENTITY is no age private key.', undefined, { cause });
  }
  // Opening the header reads the source's first bytes; an error of the source itself comes through as it is.
  let failure: unknown;
  source.once('error', (error) => {
    failure = error;
  });
  try {
    return fromWeb(await age.decrypt(toWeb(source)));
  } catch (cause) {
    source.destroy();
    if (failure !== undefined) throw failure;
    throw fail.invalid(
      'backup_identity_wrong',
      'BACKUP_IDENTITY does not open this backup: it was encrypted to another public key.',
      undefined,
      { cause },
    );
  }
}

// The library's types are those of the browser.
const toWeb = (stream: Readable) => Readable.toWeb(stream) as unknown as globalThis.ReadableStream<Uint8Array>;
const fromWeb = (stream: unknown) => Readable.fromWeb(stream as ReadableStream<Uint8Array>);
