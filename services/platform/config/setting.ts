import { BlockList, isIP } from 'node:net';
import { type OutsideIssuer, parseIssuers } from './issuers.ts';

export const PROCESSES = ['api', 'webhook-ingest', 'worker', 'controller', 'cli', 'all-in-one'] as const;
/** Which process loads the settings; decides what is required and which secrets it may hold. */
export type ProcessName = (typeof PROCESSES)[number];

/** A text that cannot be taken: what is wrong with it, and how to mend it. Never quotes a secret. */
export type Refusal = { problem: string; mend: string };
export type Parsed<T> = { ok: true; value: T } | ({ ok: false } & Refusal);

/** One row of the settings table. `T` is what the program gets. */
export type Setting<T> = {
  type: string;
  parse(text: string): Parsed<T>;
  fallback: T;
  /** The default as a person writes it, for the table and for .env.example. */
  fallbackText?: string | undefined;
  /** Shown in .env.example where there is no default. */
  example?: string | undefined;
  secret: false;
  /** Of a number or a URL: what the schema of the chart also checks. */
  min?: number | undefined;
  max?: number | undefined;
  schemes?: readonly string[] | undefined;
  /** Who reads it; absent: every process. */
  processes?: readonly ProcessName[] | undefined;
  requiredIn?: Requirement | undefined;
  group: string;
  description: string;
};

/** `always`, or only under the profiles staging and production; always limited to the processes of the row. */
export type Requirement = 'always' | 'strict';

export type SecretSetting = {
  type: 'secret';
  secret: true;
  processes?: readonly ProcessName[] | undefined;
  requiredIn?: Requirement | undefined;
  /** What its value looks like; a file that does not is not taken, so that a half-written one never replaces a good one. */
  shape?: { pattern: RegExp; says: string; accepts?: (value: string) => boolean } | undefined;
  /** Shortest value that staging and production take; 0 where the provider decides its length. */
  minLength: number;
  example?: string | undefined;
  group: string;
  description: string;
};

type Common = {
  group: string;
  description: string;
  processes?: readonly ProcessName[];
  requiredIn?: Requirement;
  example?: string;
};

function make<T, D>(
  type: string,
  parse: (text: string) => Parsed<T>,
  row: Common & { default?: T },
  show: (value: T) => string = String,
): Setting<D> {
  const { default: fallback, ...rest } = row;
  return {
    ...rest,
    type,
    secret: false,
    parse: parse as unknown as (text: string) => Parsed<D>,
    fallback: fallback as unknown as D,
    fallbackText: fallback === undefined ? undefined : show(fallback),
  };
}

const no = (problem: string, mend: string): { ok: false } & Refusal => ({ ok: false, problem, mend });
const yes = <T>(value: T): Parsed<T> => ({ ok: true, value });

type Row<T> = Common & { default?: T };
/** With a default the program always has a value; without one it has to expect none. */
type Given<T, R extends { default?: T }> = R extends { default: T } ? T : T | undefined;

export function integer<R extends Row<number> & { min?: number; max?: number }>(row: R): Setting<Given<number, R>> {
  const min = row.min ?? 0;
  const max = row.max ?? Number.MAX_SAFE_INTEGER;
  const parse = (text: string): Parsed<number> => {
    const value = Number(text);
    return /^-?\d+$/.test(text) && value >= min && value <= max
      ? yes(value)
      : no(`"${text}" is not a whole number from ${min} to ${max}`, `give a whole number from ${min} to ${max}`);
  };
  return make('integer', parse, row);
}

/** 0 asks the system for any free port. */
export function port<R extends Row<number>>(row: R): Setting<Given<number, R>> {
  return { ...integer({ ...row, min: 0, max: 65535 }), type: 'port' } as Setting<Given<number, R>>;
}

export function flag<R extends Row<boolean>>(row: R): Setting<Given<boolean, R>> {
  const parse = (text: string): Parsed<boolean> => {
    if (text === 'true' || text === '1') return yes(true);
    if (text === 'false' || text === '0') return yes(false);
    return no(`"${text}" is neither true nor false`, 'write true or false');
  };
  return make('true|false', parse, row);
}

export function choice<const V extends string, R extends Row<V>>(values: readonly V[], row: R): Setting<Given<V, R>> {
  const parse = (text: string): Parsed<V> =>
    values.includes(text as V)
      ? yes(text as V)
      : no(`"${text}" is not one of ${values.join(', ')}`, `write one of ${values.join(', ')}`);
  return make(values.join('|'), parse, row);
}

export function text<R extends Row<string>>(row: R): Setting<Given<string, R>> {
  return make('text', yes, row);
}

/** Kept as text, without a trailing slash, so that `${base}/path` never doubles it. */
export function url<R extends Row<string> & { protocols: readonly string[] }>(row: R): Setting<Given<string, R>> {
  const wanted = row.protocols.map((p) => `${p}://`).join(' or ');
  const parse = (value: string): Parsed<string> => {
    const parsed = URL.canParse(value) ? new URL(value) : undefined;
    if (!parsed || !row.protocols.includes(parsed.protocol.slice(0, -1))) {
      return no('not a URL that can be used', `give a URL that starts with ${wanted}`);
    }
    return yes(value.replace(/\/+$/, ''));
  };
  const { protocols: _protocols, ...rest } = row;
  return { ...make<string, Given<string, R>>('url', parse, rest as unknown as R), schemes: row.protocols };
}

/** Comma-separated origins (`https://app.example.com`), matched exactly; `*` is for development only. */
export function origins<R extends Row<readonly string[]>>(row: R): Setting<Given<readonly string[], R>> {
  const parse = (list: string): Parsed<readonly string[]> => {
    const items = split(list);
    const isOrigin = (item: string) => !item.includes('*') && URL.canParse(item) && new URL(item).origin === item;
    const bad = items.filter((item) => item !== '*' && !isOrigin(item));
    return bad.length === 0
      ? yes(items)
      : no(
          `${bad.map((b) => `"${b}"`).join(', ')}: not an origin`,
          'write scheme, host and port only, in lower case and without a path, e.g. https://app.example.com',
        );
  };
  return make('origins', parse, row, (value) => value.join(','));
}

/** Comma-separated networks in CIDR notation; a bare address is that one host. */
export function cidrs<R extends Row<readonly string[]>>(row: R): Setting<Given<readonly string[], R>> {
  const parse = (list: string): Parsed<readonly string[]> => {
    const items = split(list).map((item) => (isIP(item) ? `${item}/${isIP(item) === 4 ? 32 : 128}` : item));
    const bad = items.filter((item) => !isCidr(item));
    return bad.length === 0
      ? yes(items)
      : no(`${bad.map((b) => `"${b}"`).join(', ')}: not a network`, 'write networks like 10.0.0.0/8 or fd00::/8');
  };
  return make('networks', parse, row, (value) => value.join(','));
}

/** Outside issuers of access tokens. */
export function issuers<R extends Row<readonly OutsideIssuer[]>>(row: R): Setting<Given<readonly OutsideIssuer[], R>> {
  return make('json', parseIssuers, row, (value) => JSON.stringify(value));
}

export function secret(
  row: Omit<SecretSetting, 'type' | 'secret' | 'minLength'> & { minLength?: number },
): SecretSetting {
  return { minLength: 0, ...row, type: 'secret', secret: true };
}

function split(list: string): string[] {
  return list
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean);
}

function isCidr(item: string): boolean {
  const [address = '', bits = '', ...rest] = item.split('/');
  if (rest.length > 0 || !/^\d+$/.test(bits) || !isIP(address)) return false;
  try {
    new BlockList().addSubnet(address, Number(bits), isIP(address) === 4 ? 'ipv4' : 'ipv6');
    return true;
  } catch {
    return false;
  }
}
