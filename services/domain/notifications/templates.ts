import type { Template } from './template.ts';

const page = (body: string) =>
  `<!doctype html><html><body style="font-family:sans-serif;max-width:36em;margin:2em auto">${body}</body></html>`;

/** The global templates, by name. A message of a new kind is a new row here; the name is kept for ever. */
export const TEMPLATES = {
  'auth.verify_email': {
    subject: 'Confirm your e-mail address',
    text: 'Hello {{name}},\n\nplease confirm that this address is yours:\n\n{{url}}\n\nThe link works for {{valid_hours}} hours. If you did not register, ignore this message.\n',
    html: page(
      '<p>Hello {{name}},</p><p>please confirm that this address is yours:</p><p><a href="{{url}}">Confirm the address</a></p><p>The link works for {{valid_hours}} hours. If you did not register, ignore this message.</p>',
    ),
    secret: ['url'],
  },
  'auth.reset_password': {
    subject: 'Set a new password',
    text: 'Hello {{name}},\n\nset a new password here:\n\n{{url}}\n\nThe link works once, for {{valid_minutes}} minutes. If you did not ask for it, ignore this message; your password stays as it is.\n',
    html: page(
      '<p>Hello {{name}},</p><p>set a new password here:</p><p><a href="{{url}}">Set a new password</a></p><p>The link works once, for {{valid_minutes}} minutes. If you did not ask for it, ignore this message; your password stays as it is.</p>',
    ),
    secret: ['url'],
  },
  'auth.email_taken': {
    subject: 'You already have an account',
    text: 'Hello {{name}},\n\nsomebody tried to register with this address, and you already have an account. If it was you, log in or set a new password:\n\n{{url}}\n\nIf it was not you, nothing needs to be done.\n',
    html: page(
      '<p>Hello {{name}},</p><p>somebody tried to register with this address, and you already have an account. If it was you, <a href="{{url}}">log in or set a new password</a>.</p><p>If it was not you, nothing needs to be done.</p>',
    ),
    secret: [],
  },
  'tenancy.invitation': {
    subject: 'Invitation to {{school}}',
    text: 'Hello,\n\nyou are invited to join {{school}} as {{role}}. Log in with this e-mail address and accept:\n\n{{url}}\n\nThe invitation works once, for {{valid_days}} days. If you do not know {{school}}, ignore this message.\n',
    html: page(
      '<p>Hello,</p><p>you are invited to join <b>{{school}}</b> as {{role}}. Log in with this e-mail address and accept:</p><p><a href="{{url}}">Accept the invitation</a></p><p>The invitation works once, for {{valid_days}} days. If you do not know {{school}}, ignore this message.</p>',
    ),
    secret: ['url'],
  },
  'orders.receipt': {
    subject: 'Receipt from {{school}}: order {{order_id}}',
    text: 'Hello {{name}},\n\nthank you. {{school}} has received your payment.\n\nOrder {{order_id}}, {{paid_at}}\n\n{{lines}}\n\nTotal, tax included: {{total}}\n',
    html: page(
      '<p>Hello {{name}},</p><p>thank you. {{school}} has received your payment.</p><p>Order {{order_id}}, {{paid_at}}</p><pre>{{lines}}</pre><p><b>Total, tax included: {{total}}</b></p>',
    ),
    secret: [],
  },
  'payments.duplicate_refunded': {
    subject: 'A second payment for order {{order_id}} was refunded',
    text: 'Hello {{name}},\n\nyour order {{order_id}} at {{school}} was paid twice. The second payment of {{amount}} was refunded; it reaches your account within a few days. Your order is not affected.\n',
    html: page(
      '<p>Hello {{name}},</p><p>your order {{order_id}} at {{school}} was paid twice. The second payment of <b>{{amount}}</b> was refunded; it reaches your account within a few days. Your order is not affected.</p>',
    ),
    secret: [],
  },
} as const satisfies Record<string, Template>;

export type TemplateName = keyof typeof TEMPLATES;

/** What each template needs, so that a forgotten variable does not compile. A test compares it with the text. */
export interface TemplateVariables {
  'auth.verify_email': { name: string; url: string; valid_hours: number };
  'auth.reset_password': { name: string; url: string; valid_minutes: number };
  'auth.email_taken': { name: string; url: string };
  'tenancy.invitation': { school: string; role: string; url: string; valid_days: number };
  /** `lines`: one line of text per order line; `total`: amount and currency as a person reads it. */
  'orders.receipt': {
    name: string;
    school: string;
    order_id: string;
    paid_at: string;
    lines: string;
    total: string;
  };
  'payments.duplicate_refunded': { name: string; school: string; order_id: string; amount: string };
}

/** A template by its name; undefined for a name of another release (a row outlives the code that wrote it). */
export function templateNamed(name: string): Template | undefined {
  return Object.hasOwn(TEMPLATES, name) ? TEMPLATES[name as TemplateName] : undefined;
}
