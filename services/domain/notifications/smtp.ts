import type { Mail, Mailer } from './gateway.ts';

/** No answer for so long, at each step. */
const TIMEOUTS_MS = { dnsTimeout: 10_000, connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 20_000 };
/** All steps together: below the lease of a delivery, or a second worker would start while the first still talks. */
const TOTAL_MS = 60_000;

interface SmtpInput {
  /** `smtp://user:password@host:port` or `smtps://...`; asked for every message, so that a rotated password counts. */
  url: () => string;
  /** `Klar <no-reply@example.com>` */
  from: string;
}

/** A mailer on SMTP. One connection a message: mails are few, and a connection that is kept is one that half-opens. */
export function createSmtpMailer({ url, from }: SmtpInput): Mailer {
  return {
    from,
    async send(mail: Mail, signal: AbortSignal): Promise<void> {
      // Loaded with the first message: 15 MB that the api, which only writes deliveries down, does not need.
      const { createTransport } = await import('nodemailer');
      const transport = createTransport({
        url: url(),
        ...TIMEOUTS_MS,
        // A message is text: nothing in it may make the mailer read a file or fetch an address.
        disableFileAccess: true,
        disableUrlAccess: true,
      });
      try {
        await transport.sendMail({
          from,
          to: mail.to,
          subject: mail.subject,
          text: mail.text,
          html: mail.html,
          messageId: mail.messageId,
          // RFC 3834: automatic answers to these help nobody.
          headers: { 'Auto-Submitted': 'auto-generated' },
          signal: AbortSignal.any([signal, AbortSignal.timeout(TOTAL_MS)]),
        });
      } finally {
        transport.close();
      }
    },
  };
}
