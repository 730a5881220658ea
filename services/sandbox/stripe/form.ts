import { refuse } from './stripe-error.ts';

/** A decoded form: text, lists and nested objects. */
export type FormValue = string | FormValue[] | FormObject;
export type FormObject = { [key: string]: FormValue };

const MAX_DEPTH = 8;

/**
 * Decodes `a[b][0][c]=v`, as stripe-node writes it, and `a[]=v`, as curl users do. Objects have no prototype, so that
 * a key named `__proto__` could never change one, and it is refused besides.
 */
export function parseForm(text: string): FormObject {
  const root: FormObject = Object.create(null);
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const at = pair.indexOf('=');
    const key = decode(at < 0 ? pair : pair.slice(0, at));
    const value = at < 0 ? '' : decode(pair.slice(at + 1));
    assign(root, segments(key), value);
  }
  return lists(root) as FormObject;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw refuse.invalid('Invalid request: the body is not valid application/x-www-form-urlencoded text.');
  }
}

function segments(key: string): string[] {
  const match = /^([^[\]]+)((?:\[[^[\]]*\])*)$/.exec(key);
  if (!match) throw refuse.invalid(`Invalid parameter name: ${key}`, { param: key });
  const parts = [match[1] ?? '', ...[...(match[2] ?? '').matchAll(/\[([^[\]]*)\]/g)].map((inner) => inner[1] ?? '')];
  if (parts.length > MAX_DEPTH || parts.includes('__proto__')) {
    throw refuse.invalid(`Invalid parameter name: ${key}`, { param: key });
  }
  return parts;
}

function assign(root: FormObject, path: string[], value: string): void {
  let node = root;
  for (const [index, part] of path.entries()) {
    const name = part === '' ? String(Object.keys(node).length) : part;
    if (index === path.length - 1) {
      node[name] = value;
      return;
    }
    const next = node[name];
    if (typeof next === 'string') throw refuse.invalid(`Invalid object: ${path[0]}`, { param: path[0] });
    const child = (next ?? Object.create(null)) as FormObject;
    node[name] = child;
    node = child;
  }
}

/** Turns `{0: x, 1: y}` into `[x, y]`, all the way down. */
function lists(value: FormValue): FormValue {
  if (typeof value === 'string' || Array.isArray(value)) return value;
  const keys = Object.keys(value);
  for (const key of keys) value[key] = lists(value[key] as FormValue);
  if (keys.length === 0 || !keys.every((key) => /^\d+$/.test(key))) return value;
  return keys.sort((a, b) => Number(a) - Number(b)).map((key) => value[key] as FormValue);
}

/** One text for equal parameters, whatever their order: what an idempotency key is compared by. */
export function canonical(value: FormValue): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key] as FormValue)}`).join(',')}}`;
}
