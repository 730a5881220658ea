export { isAddress, isDisplayName } from './address.ts';
export { deliver } from './jobs.ts';
export { type Notification, notify } from './service.ts';
export { TEMPLATES, type TemplateName, type TemplateVariables } from './templates.ts';
