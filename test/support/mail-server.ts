import type { AddressInfo } from 'node:net';
import { type ParsedMail, simpleParser } from 'mailparser';
import { SMTPServer } from 'smtp-server';

export interface MailServer {
  url: string;
  /** What was accepted, in order. */
  mails: ParsedMail[];
  /** The messages as they came over the wire. */
  raw: string[];
  /** Answers from now on: an SMTP code to refuse the recipient with, or undefined to accept. */
  refuse: number | undefined;
  /** Called after the message is read and before it is acknowledged. */
  beforeAccept: (() => Promise<void>) | undefined;
  close(): Promise<void>;
}

/** A real SMTP server on a free port that keeps what it accepts. */
export async function startMailServer(): Promise<MailServer> {
  const state: MailServer = { url: '', mails: [], raw: [], refuse: undefined, beforeAccept: undefined, close };
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    logger: false,
    onRcptTo(_address, _session, callback) {
      if (state.refuse === undefined) return callback();
      // A server may repeat what it was given; none of it may end in our tables.
      callback(Object.assign(new Error('refused: https://secret.example/?token=abc'), { responseCode: state.refuse }));
    },
    onData(stream, _session, callback) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', async () => {
        const raw = Buffer.concat(chunks).toString();
        await state.beforeAccept?.();
        state.raw.push(raw);
        state.mails.push(await simpleParser(raw));
        callback();
      });
    },
  });
  server.on('error', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  state.url = `smtp://127.0.0.1:${(server.server.address() as AddressInfo).port}`;
  function close(): Promise<void> {
    return new Promise((resolve) => server.close(resolve));
  }
  return state;
}
