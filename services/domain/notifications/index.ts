export { ADDRESS_MAX, ADDRESS_PATTERN, isAddress, isDisplayName } from './address.ts';
export type { Mail, Mailer } from './gateway.ts';
export { createDeliverHandler, type DeliverPayload, deliver } from './jobs.ts';
export { type Notification, notify } from './service.ts';
export { createSmtpMailer } from './smtp.ts';
export { oldDeliveries } from './store.ts';
export { TEMPLATES, type TemplateName, type TemplateVariables } from './templates.ts';
