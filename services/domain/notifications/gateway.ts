/** One message, ready for a mail server. Names and subject hold no control characters: `notify` has refused them. */
export interface Mail {
  messageId: string;
  to: { address: string; name: string };
  subject: string;
  text: string;
  html: string;
}

/** Hands messages to a mail server. */
export interface Mailer {
  /** Address in the From header. */
  readonly from: string;
  /** Resolves when the server has accepted the message; rejects with nodemailer's error otherwise. */
  send(mail: Mail, signal: AbortSignal): Promise<void>;
}
