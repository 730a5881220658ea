/**
 * The closed list of what may stand in the audit log: `noun.verb` -> what happened, in one sentence.
 * A module that mutates something adds its row here; a name missing from the list does not compile.
 * Names are kept for ever (the chain and exports refer to them): add, never rename.
 */
export const AUDIT_ACTIONS = {
  'tenants.create': 'A person opened a school.',
  'tenants.update': 'The school changed its name or its registration rule.',
  'members.join': 'A person joined by open registration.',
  'members.change_role': 'A member was given another role.',
  'members.remove': 'A member was removed from the school.',
  'invitations.create': 'An address was invited to a role.',
  'invitations.revoke': 'An open invitation was withdrawn.',
  'invitations.accept': 'The invited person accepted.',
  'api_keys.create': 'An API key was made.',
  'api_keys.revoke': 'An API key was revoked.',

  'platform.tenants.list': 'A platform administrator listed the schools.',
  'platform.tenants.show': 'A platform administrator looked at a school.',
  'platform.tenants.block': 'A platform administrator blocked a school: every call is refused.',
  'platform.tenants.unblock': 'A platform administrator lifted a block.',
  'platform.tenants.suspend': 'A platform administrator suspended a school: writes are refused.',
  'platform.tenants.unsuspend': 'A platform administrator lifted a suspension.',
  'platform.admins.grant': 'A person was made a platform administrator.',
  'platform.admins.revoke': 'A person stopped being a platform administrator.',

  'people.register': 'A person registered.',
  'people.verify_email': 'A person proved that the e-mail address is theirs.',
  'people.request_password_reset': 'A password reset was asked for.',
  'people.reset_password': 'A password was set by a reset link.',
  'people.change_password': 'A person who knew the old password set a new one.',
  'people.link_issuer': "An outside issuer's account was linked to a person.",
  'people.lock': 'Too many failed logins locked an account for a while.',
  'sessions.login': 'A person logged in.',
  'sessions.logout': 'A session was ended.',
  'sessions.logout_all': 'All sessions of a person were ended.',
  'sessions.reuse': 'An old refresh token was used again; its session family was ended.',
  'second_factor.enable': 'A second factor was switched on.',
  'second_factor.disable': 'A second factor was switched off.',
  'second_factor.renew_codes': 'New backup codes replaced the old ones.',

  'courses.create': 'A course was made.',
  'courses.update': 'A course was changed.',
  'lessons.create': 'A lesson was made.',
  'lessons.update': 'A lesson was changed.',
  'enrollments.grant': 'A person was enrolled in a course.',
  'enrollments.revoke': 'An enrollment was taken back.',

  'services.create': 'A bookable service was made.',
  'services.update': 'A bookable service was changed.',
  'prices.set': 'What an item costs was changed, or it was taken off sale.',
  'orders.place': 'An order was placed.',
  'orders.pay': 'An order became paid.',
  'orders.fulfil': 'What an order bought was handed over.',
  'orders.fail': 'An order failed.',
  'orders.expire': 'An order expired unpaid.',
  'orders.cancel': 'An order was canceled before it was paid.',
  'orders.reopen': 'An order waits for a payment again.',
  'orders.refund': 'Money of an order went back.',
  'orders.dispute': 'The money of an order is disputed.',

  'payments.create_session': 'A payment session was opened at the provider.',
  'payments.expire_session': 'A payment session was expired at the provider.',
  'payments.record': "A payment took over the provider's state.",
  'payments.mismatch': 'Money arrived that does not fit its order; nothing was fulfilled.',
  'payments.incident': 'Something about a payment needs a person: it was listed and alerted.',
  'payments.attempt': 'A way to pay was prepared; the provider has not been asked yet.',
  'payments.refund_duplicate': 'Money that arrived twice was refunded.',

  'webhooks.read_payload': 'An operator looked at the payload of a stored event.',
  'webhooks.replay': 'A stored event was queued again by hand.',
  'webhooks.redrive': 'Events that had failed were queued again by hand.',
} as const satisfies Record<string, string>;

/** A name from {@link AUDIT_ACTIONS}. */
export type AuditAction = keyof typeof AUDIT_ACTIONS;

/** Whether `name` stands in the closed list: for filters that come from outside. */
export function isAuditAction(name: string): name is AuditAction {
  return Object.hasOwn(AUDIT_ACTIONS, name);
}
