import { typeFits } from './stripe/api/events.ts';

/**
 * What can go wrong on command, and where:
 * - API calls (`match.path`): `http_500`, `http_429`, `drop` (the connection dies, nothing happened), `delay` (late,
 *   then done), `timeout_after_applying` (done, but never answered)
 * - webhooks (`match.event`): `drop` (never sent), `duplicate` (sent twice), `reorder` (sent after the next one),
 *   `delay`
 * - mail (`match.mail`): `smtp_reject`, `smtp_delay`, `timeout_after_applying` (kept, but the line dies unanswered)
 */
export const FAULT_KINDS = [
  'drop',
  'duplicate',
  'reorder',
  'delay',
  'http_500',
  'http_429',
  'timeout_after_applying',
  'smtp_reject',
  'smtp_delay',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Where a fault strikes; `*` at the end of a path or type means everything below it. */
export type FaultMatch =
  | { on: 'api'; path: string; method?: string }
  | { on: 'webhook'; event: string }
  | { on: 'mail'; mail: string };

export type Fault = {
  id: string;
  match: FaultMatch;
  kind: FaultKind;
  /** How often it still strikes. */
  times: number;
  delay_ms: number;
  /** For `http_500`: the call was carried out, and the 500 is stored under its idempotency key. */
  applied: boolean;
  /** For `smtp_reject`: the SMTP answer; 4xx means "try again". */
  code: number;
  struck: number;
};

const ALLOWED: Record<FaultMatch['on'], readonly FaultKind[]> = {
  api: ['http_500', 'http_429', 'drop', 'delay', 'timeout_after_applying'],
  webhook: ['drop', 'duplicate', 'reorder', 'delay'],
  mail: ['smtp_reject', 'smtp_delay', 'timeout_after_applying'],
};

/** The faults that wait to strike. They live in memory: a restart is well-behaved again. */
export type Faults = {
  add(input: unknown): Fault | { error: string };
  list(): Fault[];
  clear(id?: string): void;
  /** The first fault that fits, counted as struck. */
  strike(
    event: { api: { method: string; path: string } } | { webhook: string } | { mail: string[] },
  ): Fault | undefined;
};

export function createFaults(): Faults {
  let faults: Fault[] = [];
  let made = 0;
  return {
    add(input) {
      const parsed = parseFault(input, `fault_${made + 1}`);
      if ('error' in parsed) return parsed;
      made += 1;
      faults.push(parsed);
      return parsed;
    },
    list: () => faults.map((fault) => ({ ...fault })),
    clear(id) {
      faults = id === undefined ? [] : faults.filter((fault) => fault.id !== id);
    },
    strike(event) {
      const fault = faults.find((candidate) => candidate.times > 0 && fits(candidate.match, event));
      if (!fault) return undefined;
      fault.times -= 1;
      fault.struck += 1;
      return { ...fault };
    },
  };
}

function fits(match: FaultMatch, event: Parameters<Faults['strike']>[0]): boolean {
  if (match.on === 'webhook') return 'webhook' in event && typeFits(match.event, event.webhook);
  if (match.on === 'mail') return 'mail' in event && (match.mail === '*' || event.mail.includes(match.mail));
  if (!('api' in event) || (match.method !== undefined && match.method !== event.api.method)) return false;
  return match.path.endsWith('*')
    ? event.api.path.startsWith(match.path.slice(0, -1))
    : pathFits(match.path, event.api.path);
}

/** `/v1/checkout/sessions/:id/expire` fits any session's. */
function pathFits(pattern: string, path: string): boolean {
  const wanted = pattern.split('/');
  const parts = path.split('/');
  return wanted.length === parts.length && wanted.every((part, index) => part.startsWith(':') || part === parts[index]);
}

function parseFault(input: unknown, id: string): Fault | { error: string } {
  const given = (input ?? {}) as Record<string, unknown>;
  const match = parseMatch(given.match);
  if ('error' in match) return match;
  const kind = FAULT_KINDS.find((known) => known === given.kind);
  if (!kind || !ALLOWED[match.on].includes(kind)) {
    return { error: `kind must be one of ${ALLOWED[match.on].join(', ')} for ${match.on}` };
  }
  const number = (name: string, otherwise: number) => (given[name] === undefined ? otherwise : Number(given[name]));
  const times = number('times', 1);
  const delay_ms = number('delay_ms', 1000);
  const code = number('code', 550);
  if (!Number.isInteger(times) || times < 1) return { error: 'times must be a whole number of 1 or more' };
  if (!Number.isInteger(delay_ms) || delay_ms < 0) return { error: 'delay_ms must be a whole number of 0 or more' };
  if (!Number.isInteger(code) || code < 400 || code > 599)
    return { error: 'code must be an SMTP code from 400 to 599' };
  return { id, match, kind, times, delay_ms, code, applied: given.applied === true, struck: 0 };
}

function parseMatch(given: unknown): FaultMatch | { error: string } {
  const match = (given ?? {}) as Record<string, unknown>;
  const { path, event, mail, method } = match;
  if (typeof path === 'string') {
    return { on: 'api', path, ...(typeof method === 'string' ? { method: method.toUpperCase() } : {}) };
  }
  if (typeof event === 'string') return { on: 'webhook', event };
  if (typeof mail === 'string') return { on: 'mail', mail: mail.toLowerCase() };
  return { error: 'match must name a path (with method), an event type or a mail recipient; * fits all' };
}
