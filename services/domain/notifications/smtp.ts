import { createTransport, type Transporter } from 'nodemailer';
import type { Mail, Mailer } from './gateway.ts';

/**
 * One attempt may take this long in its parts; together they must stay below the lease of a delivery
 * (`LEASE_SECONDS`), or a second worker would start while the first still talks.
 */
const TIMEOUTS_MS = { dnsTimeout: 10_000, connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 20_000 };
const TOTAL_MS = 60_000;

interface SmtpInput {
  /** `smtp://user:password@host:port` or `smtps://...`; a function is asked for every connection (rotated passwords). */
  url: string | (() => string);
  /** `Klar <no-reply@example.com>` */
  from: string;
}

/** A mailer on SMTP. Opens a connection per message: mails are few, and a kept connection is one that half-opens. */
export function createSmtpMailer(input: SmtpInput): Mailer {
  const url = () => (typeof input.url === 'string' ? input.url : input.url());
  const open = new Set<Transporter>();
  return {
    from: input.from,
    async send(mail: Mail): Promise<void> {
      const transport = createTransport({
        url: url(),
        ...TIMEOUTS_MS,
        // A message is text: nothing in it may make the mailer read a file or fetch an address.
        disableFileAccess: true,
        disableUrlAccess: true,
      });
      open.add(transport);
      const late = setTimeout(() => transport.close(), TOTAL_MS);
      try {
        await transport.sendMail({
          from: input.from,
          to: mail.to,
          subject: mail.subject,
          text: mail.text,
          html: mail.html,
          messageId: mail.messageId,
          // RFC 3834: holiday answers to these help nobody.
          headers: { 'Auto-Submitted': 'auto-generated' },
        });
      } finally {
        clearTimeout(late);
        open.delete(transport);
        transport.close();
      }
    },
    close() {
      for (const transport of open) transport.close();
    },
  };
}
