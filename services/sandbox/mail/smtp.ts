import { setTimeout as pause } from 'node:timers/promises';
import { simpleParser } from 'mailparser';
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from 'smtp-server';
import type { Faults } from '../faults.ts';
import type { MailRecord, SandboxLog } from '../records.ts';
import type { SandboxClock } from '../sandbox-clock.ts';
import type { Store } from '../store.ts';
import { stripeId } from '../stripe/stripe-id.ts';

/** Larger mails are refused, as servers do. */
const LARGEST_BYTES = 10 * 1024 * 1024;
/** Older mails are forgotten: this is a mailbox to look at, not an archive. */
const KEPT = 500;

export type SmtpCatcher = { port: number; stop(): Promise<void> };

/** An SMTP server that delivers nothing: what it accepts can be read under /mail. Any login is accepted. */
export async function startSmtp(input: {
  host: string;
  port: number;
  store: Store;
  clock: SandboxClock;
  faults: Faults;
  log: SandboxLog;
}): Promise<SmtpCatcher> {
  const { store, clock, faults, log } = input;
  const server = new SMTPServer({
    authOptional: true,
    allowInsecureAuth: true,
    // A self-signed certificate would make careful clients refuse; the line is the loopback.
    disabledCommands: ['STARTTLS'],
    banner: 'Klar sandbox',
    size: LARGEST_BYTES,
    logger: false,
    onAuth: (auth, _session, done) => done(null, { user: auth.username ?? 'anyone' }),
    onData(stream, session, done) {
      void receive(stream, session).then(
        (answer) => done(answer),
        (error) => done(Object.assign(new Error(String(error)), { responseCode: 451 })),
      );
    },
  });
  server.on('error', (error) => log.warn('sandbox: smtp', { error: String(error) }));

  async function receive(stream: SMTPServerDataStream, session: SMTPServerSession): Promise<Error | null> {
    const raw = Buffer.concat(await Array.fromAsync(stream as AsyncIterable<Buffer>));
    const to = session.envelope.rcptTo.map((recipient) => recipient.address.toLowerCase());
    if (stream.sizeExceeded) return refusal(552, 'Message exceeds the maximum size');
    const fault = faults.strike({ mail: to });
    if (fault?.kind === 'smtp_reject') return refusal(fault.code, 'Refused on command by the sandbox');
    if (fault?.kind === 'smtp_delay') await pause(fault.delay_ms);
    const mail = store.put('mails', await parse(raw, to, session, new Date(clock.realMs())));
    log.info('sandbox: mail', { mail_id: mail.id, to: mail.to.join(', '), subject: mail.subject });
    for (const old of store.all('mails').slice(0, -KEPT)) store.remove('mails', old.id);
    if (fault?.kind !== 'timeout_after_applying') return null;
    await pause(fault.delay_ms);
    // The mail is kept, the sender never hears so: the line dies instead of the answer.
    cutLine(server, session.id);
    return refusal(421, 'never sent');
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(input.port, input.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.server.address();
  const port = typeof address === 'object' && address ? address.port : input.port;
  return {
    port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
      }),
  };
}

const refusal = (responseCode: number, message: string) => Object.assign(new Error(message), { responseCode });

function cutLine(server: SMTPServer, sessionId: string): void {
  const { connections } = server as unknown as { connections: Set<{ id: string; _socket?: { destroy(): void } }> };
  for (const connection of connections) {
    if (connection.id === sessionId) connection._socket?.destroy();
  }
}

async function parse(raw: Buffer, to: string[], session: SMTPServerSession, at: Date): Promise<MailRecord> {
  const parsed = await simpleParser(raw, { skipImageLinks: true });
  const { mailFrom } = session.envelope;
  const html = parsed.html || null;
  return {
    id: stripeId('mail'),
    at: at.toISOString(),
    from: parsed.from?.text ?? (mailFrom ? mailFrom.address : ''),
    to,
    subject: parsed.subject ?? '',
    text: parsed.text ?? '',
    html,
    links: linksOf(html ?? '', parsed.text ?? ''),
    headers: Object.fromEntries(
      parsed.headerLines.map(({ key, line }) => [key, line.slice(line.indexOf(':') + 1).trim()]),
    ),
    raw: raw.toString('base64'),
  };
}

/** The web addresses in a mail, each once, in their order. */
export function linksOf(html: string, text: string): string[] {
  const hrefs = [...html.matchAll(/href\s*=\s*(?:"([^"]*)"|'([^']*)')/gi)].map((match) =>
    (match[1] ?? match[2] ?? '').replaceAll('&amp;', '&'),
  );
  const plain = text.match(/https?:\/\/[^\s<>"')\]]+[^\s<>"')\].,;:!?]/g) ?? [];
  return [...new Set([...hrefs, ...plain])].filter((link) => /^https?:\/\//i.test(link));
}
