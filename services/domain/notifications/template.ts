/**
 * Templates are data: no code runs in them, the only syntax is `{{name}}`, and every value that enters HTML is
 * escaped. A placeholder without a value is an error, never an empty string: a receipt without its amount
 * must not leave the house.
 */
export interface Template {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  /** Variables that hold a secret (a link with a token): removed from the row when the message is sent or dead. */
  readonly secret: readonly string[];
}

export type TemplateData = Readonly<Record<string, string | number>>;

export interface RenderedMessage {
  subject: string;
  text: string;
  html: string;
}

/** A fault of ours: the caller gave data that the template cannot be rendered with. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
}

const PLACEHOLDER = /\{\{\s*([a-z][a-z0-9_]*)\s*\}\}/g;
const HTML_ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Control characters (newlines included): in a header they would start a header of the sender's choosing. */
export function hasControlCharacters(value: string): boolean {
  return /[\p{Cc}\u2028\u2029]/u.test(value);
}

/** The names of a template's placeholders. */
export function placeholders(template: Template): Set<string> {
  const names = new Set<string>();
  for (const part of [template.subject, template.text, template.html]) {
    for (const match of part.matchAll(PLACEHOLDER)) names.add(match[1] ?? '');
  }
  return names;
}

function value(data: TemplateData, name: string): string {
  // hasOwn: "{{constructor}}" must be missing, not a function of Object's.
  const found = Object.hasOwn(data, name) ? data[name] : undefined;
  if (typeof found === 'number' && Number.isFinite(found)) return String(found);
  if (typeof found !== 'string') throw new TemplateError(`variable "${name}" is missing`);
  if (/[^\P{Cc}\n\t]/u.test(found)) throw new TemplateError(`variable "${name}" holds control characters`);
  if (name === 'url' || name.endsWith('_url')) requireWebAddress(name, found);
  return found;
}

/** Only http(s) goes into a link: `javascript:` in a mail that bears our name is an attack on its reader. */
function requireWebAddress(name: string, address: string): void {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') {
    throw new TemplateError(`variable "${name}" is not a web address`);
  }
}

function fill(part: string, substitute: (name: string) => string): string {
  return part.replace(PLACEHOLDER, (_whole, name: string) => substitute(name));
}

/** Throws {@link TemplateError} for a missing variable, a control character, or a link that is no web address. */
export function render(template: Template, data: TemplateData): RenderedMessage {
  const subject = fill(template.subject, (name) => value(data, name));
  if (hasControlCharacters(subject)) throw new TemplateError('the subject holds control characters');
  return {
    subject,
    text: fill(template.text, (name) => value(data, name)),
    html: fill(template.html, (name) => value(data, name).replace(/[&<>"']/g, (c) => HTML_ENTITIES[c] ?? c)),
  };
}
