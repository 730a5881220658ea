import type { FormObject, FormValue } from './form.ts';
import { refuse } from './stripe-error.ts';

/**
 * What one parameter may be. `cosmetic`: accepted, changes nothing here. `unsupported`: Stripe knows it, the sandbox
 * does not, and says so; silently ignoring it would let a test pass that fails against Stripe.
 */
export type Spec =
  | { type: 'string'; required?: true; oneOf?: readonly string[]; max?: number; url?: true; unset?: true }
  | { type: 'integer'; required?: true; min?: number; max?: number }
  | { type: 'boolean'; required?: true }
  | { type: 'list'; of: Spec; required?: true; max?: number }
  | { type: 'object'; fields: Record<string, Spec>; required?: true; max?: number }
  | { type: 'metadata' }
  | { type: 'range' }
  | { type: 'cosmetic' }
  | { type: 'unsupported' };

/** A spec for every parameter of the SDK's type: one that is missing or not Stripe's does not compile. */
export type Fields<T> = { [K in keyof T]-?: Spec };

export const text = (options: Omit<Extract<Spec, { type: 'string' }>, 'type'> = {}): Spec => ({
  type: 'string',
  max: 5000,
  ...options,
});
export const integer = (options: Omit<Extract<Spec, { type: 'integer' }>, 'type'> = {}): Spec => ({
  type: 'integer',
  ...options,
});
export const flag: Spec = { type: 'boolean' };
export const metadata: Spec = { type: 'metadata' };
export const cosmetic: Spec = { type: 'cosmetic' };
export const unsupported: Spec = { type: 'unsupported' };
export const expand: Spec = { type: 'list', of: { type: 'string' }, max: 20 };
/** The parameters of every list. https://docs.stripe.com/api/pagination */
export const page = {
  limit: integer({ min: 1, max: 100 }),
  starting_after: text(),
  ending_before: text(),
  expand,
};

/** Checks and converts parameters; throws Stripe's refusal for the first that is wrong, unknown ones first. */
export function parseParams<T>(fields: Fields<T>, raw: FormObject): T {
  return parseObject(fields as Record<string, Spec>, raw, '') as T;
}

const join = (prefix: string, name: string) => (prefix === '' ? name : `${prefix}[${name}]`);

function parseObject(fields: Record<string, Spec>, raw: FormObject, prefix: string): Record<string, unknown> {
  if (raw.payment_method_types !== undefined && !Object.hasOwn(fields, 'payment_method_types')) {
    // Removed by the version the sandbox speaks, with a code of its own.
    throw refuse.invalid('`payment_method_types` is no longer supported. Use `allowed_payment_method_types`.', {
      param: 'payment_method_types',
      code: 'payment_method_types_no_longer_supported',
    });
  }
  const strangers = Object.keys(raw).filter((name) => !Object.hasOwn(fields, name));
  if (strangers.length > 0) throw refuse.unknown(strangers.map((name) => join(prefix, name)));
  const result: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(fields)) {
    const value = raw[name];
    const param = join(prefix, name);
    if (value === undefined) {
      if ('required' in spec && spec.required) throw refuse.missing(param);
      continue;
    }
    result[name] = parseValue(spec, value, param);
  }
  return result;
}

function parseValue(spec: Spec, value: FormValue, param: string): unknown {
  switch (spec.type) {
    case 'string':
      return parseText(spec, value, param);
    case 'integer':
      return parseInteger(spec, value, param);
    case 'boolean':
      if (value !== 'true' && value !== 'false') throw refuse.invalid(`Invalid boolean: ${show(value)}`, { param });
      return value === 'true';
    case 'list': {
      if (!Array.isArray(value)) throw refuse.invalid('Invalid array', { param });
      if (spec.max !== undefined && value.length > spec.max) {
        throw refuse.invalid(`You may only specify up to ${spec.max} of these.`, { param });
      }
      return value.map((item, index) => parseValue(spec.of, item, `${param}[${index}]`));
    }
    case 'object':
      if (typeof value === 'string' || Array.isArray(value)) throw refuse.invalid('Invalid object', { param });
      return parseObject(spec.fields, value, param);
    case 'metadata':
      return parseMetadata(value, param);
    case 'range':
      return parseRange(value, param);
    case 'cosmetic':
      return value;
    case 'unsupported':
      throw refuse.invalid(
        `The sandbox does not know what Stripe would do with \`${param}\`. Leave it out here, or use a Stripe test key.`,
        { param },
      );
    default:
      return spec satisfies never;
  }
}

const show = (value: FormValue) => (typeof value === 'string' ? value : JSON.stringify(value));

function parseText(spec: Extract<Spec, { type: 'string' }>, value: FormValue, param: string): string {
  if (typeof value !== 'string') throw refuse.invalid(`Invalid string: ${show(value)}`, { param });
  if (value === '' && !spec.unset) {
    throw refuse.invalid(
      `You passed an empty string for '${param}'. We assume empty values are an attempt to unset a parameter; however '${param}' cannot be unset. You should remove '${param}' from your request or supply a non-empty value.`,
      { param, code: 'parameter_invalid_empty' },
    );
  }
  if (spec.max !== undefined && value.length > spec.max) {
    throw refuse.invalid(`Invalid string: must be at most ${spec.max} characters`, { param });
  }
  if (spec.oneOf && !spec.oneOf.includes(value)) {
    const last = spec.oneOf.at(-1);
    const list = spec.oneOf.length > 1 ? `one of ${spec.oneOf.slice(0, -1).join(', ')}, or ${last}` : `${last}`;
    throw refuse.invalid(`Invalid ${param}: must be ${list}`, { param });
  }
  if (spec.url && !isWebUrl(value)) throw refuse.invalid('Not a valid URL', { param, code: 'url_invalid' });
  return value;
}

function isWebUrl(value: string): boolean {
  // Stripe's template variable is no URL character, but stands in these parameters.
  const url = URL.parse(value.replaceAll('{CHECKOUT_SESSION_ID}', 'x'));
  return url?.protocol === 'https:' || url?.protocol === 'http:';
}

function parseInteger(spec: Extract<Spec, { type: 'integer' }>, value: FormValue, param: string): number {
  const number = typeof value === 'string' && /^[+-]?\d+$/.test(value) ? Number(value) : Number.NaN;
  const code = 'parameter_invalid_integer';
  if (!Number.isSafeInteger(number)) throw refuse.invalid(`Invalid integer: ${show(value)}`, { param, code });
  if (spec.min !== undefined && number < spec.min) {
    throw refuse.invalid(`This value must be greater than or equal to ${spec.min}.`, { param, code });
  }
  if (spec.max !== undefined && number > spec.max) {
    throw refuse.invalid(`This value must be less than or equal to ${spec.max}.`, { param, code });
  }
  return number;
}

/** Metadata: up to 50 keys of 40 characters, values of 500. An empty value unsets a key, `''` unsets all. */
function parseMetadata(value: FormValue, param: string): Record<string, string> | '' {
  if (value === '') return '';
  if (typeof value === 'string' || Array.isArray(value)) throw refuse.invalid('Invalid object', { param });
  const entries = Object.entries(value);
  if (entries.length > 50) throw refuse.invalid('Metadata can have up to 50 keys.', { param });
  for (const [key, item] of entries) {
    if (typeof item !== 'string') throw refuse.invalid('Metadata values must be strings.', { param: join(param, key) });
    if (key.length > 40) throw refuse.invalid('Metadata keys can have up to 40 characters.', { param });
    if (item.length > 500) {
      throw refuse.invalid('Metadata values can have up to 500 characters.', { param: join(param, key) });
    }
  }
  return Object.fromEntries(entries) as Record<string, string>;
}

/** A time, or `{gt, gte, lt, lte}`, in seconds. */
export type Range = { gt?: number; gte?: number; lt?: number; lte?: number };

function parseRange(value: FormValue, param: string): Range {
  if (typeof value === 'string') {
    const at = parseInteger({ type: 'integer' }, value, param);
    return { gte: at, lte: at };
  }
  if (Array.isArray(value)) throw refuse.invalid('Invalid object', { param });
  const bound: Spec = { type: 'integer' };
  return parseObject({ gt: bound, gte: bound, lt: bound, lte: bound }, value, param) as Range;
}

/** Merges sent metadata into what is stored: an empty value removes a key, `''` removes all. */
export function mergeMetadata(
  stored: Record<string, string>,
  sent: Record<string, string | number | null> | '' | null | undefined,
): Record<string, string> {
  if (sent === undefined || sent === null) return stored;
  if (sent === '') return {};
  const merged = { ...stored };
  for (const [key, value] of Object.entries(sent)) {
    if (value === '' || value === null) delete merged[key];
    else merged[key] = String(value);
  }
  return merged;
}
