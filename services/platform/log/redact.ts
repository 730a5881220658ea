const MASK = '[redacted]';
const MAX_DEPTH = 8;
const MAX_ENTRIES = 200;
const MAX_STRING = 8192;
/** A known value shorter than this would blank out ordinary words; the settings refuse such secrets in production. */
const MIN_KNOWN = 8;
/** The shortest text that a pattern finds something in: a@b.c */
const SHORTEST = 5;
const MAX_NAMES = 500;
const MAX_NAME = 100;
const MAX_HARMLESS = 2_000;
const MAX_HARMLESS_LENGTH = 200;

/** A field whose name holds one of these words is blanked whatever it holds. */
const SECRET_WORDS = new Set(
  'password passwd pwd passphrase secret secrets token authorization cookie cookies apikey pepper salt otp totp cvc cvv pan credential credentials dsn'.split(
    ' ',
  ),
);
const SECRET_PAIRS = new Set(
  'api_key private_key signing_key encryption_key access_key card_number backup_codes recovery_codes database_url redis_url smtp_url'.split(
    ' ',
  ),
);
/** `secret_name`, `token_type`, `key_id` speak about a secret without being one. */
const HARMLESS_ENDINGS = new Set(
  'id ids name names type count generation generations version prefix age status'.split(' '),
);

function words(key: string): string[] {
  return key
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(Boolean);
}

export function isSecretKey(key: string): boolean {
  const parts = words(key);
  if (parts.length > 1 && HARMLESS_ENDINGS.has(parts.at(-1) ?? '')) return false;
  return parts.some((part, i) => SECRET_WORDS.has(part) || SECRET_PAIRS.has(`${part}_${parts[i + 1] ?? ''}`));
}

// Every repetition is bounded: what is logged may be chosen by a stranger, and quadratic matching would stop the loop.
const PATTERNS: [RegExp, string | ((...m: string[]) => string)][] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, MASK],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}/gi, `$1 ${MASK}`],
  [/\b(?:sk|rk)_(live|test)_[A-Za-z0-9_]+/g, `sk_$1_${MASK}`],
  [/\bwhsec_[A-Za-z0-9+/=_-]+/g, `whsec_${MASK}`],
  [/\b((?:pi|seti|cs)_[A-Za-z0-9_]+?_secret_)[A-Za-z0-9]+/g, `$1${MASK}`],
  // An API key of ours has digits or capitals; a metric or a role name (klar_api, klar_sales_orders_total) has none.
  [/\bklar_(?=[A-Za-z0-9_-]*[0-9A-Z])[A-Za-z0-9_-]{12,}/g, `klar_${MASK}`],
  [/\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?/g, MASK],
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/[^\s:@/]{0,200}):[^\s@/]{1,1000}@/gi, `$1:${MASK}@`],
  // JSON, form or query text that was logged as a string: "password":"...", token=...
  [
    /(["']?)\b((?:[A-Za-z0-9]{1,20}[_-]){0,3}(?:password|passwd|secret|token|otp|cvc|cvv|api[_-]?key|pan))\1(\s*[:=]\s*)("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s&,;}\]"']+)/gi,
    (_all, quote = '', key = '', sep = '', value = '') =>
      `${quote}${key}${quote}${sep}${value.startsWith('"') ? `"${MASK}"` : MASK}`,
  ],
  // First digit 2 to 6: every card scheme, and no millisecond timestamp (13 digits, 1...).
  [
    /(?<![A-Za-z0-9_.-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![A-Za-z0-9_-])/g,
    (match = '') => (passesLuhn(match) ? MASK : match),
  ],
  [/([A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{0,63}@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8})/g, '$1***@$2'],
];

function passesLuhn(text: string): boolean {
  const digits = text.replace(/\D/g, '');
  if (digits.length < 13 || digits.length > 19) return false;
  let sum = 0;
  for (let i = 0; i < digits.length; i += 1) {
    let digit = Number(digits[digits.length - 1 - i]);
    if (i % 2 === 1) digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return sum % 10 === 0;
}

/** Every form in which a known secret may turn up in a text: as it is, line by line (PEM), and URL-encoded. */
function forms(value: string): string[] {
  const lines = value.split(/\r?\n/).filter((line) => line.length >= 20 && !line.startsWith('-----'));
  return [value, encodeURIComponent(value), ...lines].filter((form) => form.length >= MIN_KNOWN);
}

/**
 * Makes a value safe to log: fields by their name, known secret values and recognisable credentials by what they
 * are, wherever they stand in a text; e-mail addresses keep their first letter and domain.
 * @param known the values in use now, asked at each call because secrets rotate.
 */
export function createRedactor(known: () => Iterable<string> = () => []): (value: unknown) => unknown {
  let cachedFor = '';
  let cached: string[] = [];
  /** What becomes of a field by its name: names are few and come back with every line. */
  let names = new Map<string, { secret: boolean; shown: string }>();
  /** Texts in which nothing was found: a route, an address, a browser's name come back with every line. No secret is kept. */
  let harmless = new Set<string>();
  function knownForms(): string[] {
    const values = [...known()];
    const fingerprint = values.join('\u0000');
    if (fingerprint !== cachedFor) {
      cachedFor = fingerprint;
      names = new Map();
      harmless = new Set();
      // Longest first: else a secret that contains another leaves its rest behind.
      cached = [...new Set(values.flatMap(forms))].sort((a, b) => b.length - a.length);
    }
    return cached;
  }

  function named(key: string, secrets: string[]): { secret: boolean; shown: string } {
    const seen = names.get(key);
    if (seen !== undefined) return seen;
    const name = { secret: isSecretKey(key), shown: text(key, secrets) };
    // Names may come from outside: a stranger's must neither stay for ever nor be of any length.
    if (names.size >= MAX_NAMES) names.clear();
    if (key.length <= MAX_NAME) names.set(key, name);
    return name;
  }

  function text(input: string, secrets: string[]): string {
    if (input.length < SHORTEST || harmless.has(input)) return input;
    let out = input;
    for (const secret of secrets) if (out.includes(secret)) out = out.replaceAll(secret, MASK);
    // Cut after the known values are gone: a cut through the middle of one would leave its head.
    if (out.length > MAX_STRING) out = `${out.slice(0, MAX_STRING)}... (${out.length} characters)`;
    for (const [pattern, replacement] of PATTERNS) out = out.replace(pattern, replacement as string);
    if (out === input && input.length <= MAX_HARMLESS_LENGTH) {
      if (harmless.size >= MAX_HARMLESS) harmless.clear();
      harmless.add(input);
    }
    return out;
  }

  function walk(value: unknown, secrets: string[], depth: number, above: object[]): unknown {
    if (typeof value === 'string') return text(value, secrets);
    if (typeof value === 'bigint') return text(value.toString(), secrets);
    if (typeof value === 'number')
      return value >= 1e12 && text(String(value), secrets) !== String(value) ? MASK : value;
    if (typeof value === 'function' || typeof value === 'symbol') return undefined;
    if (typeof value !== 'object' || value === null) return value;
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `(${value.byteLength} bytes)`;
    if (above.includes(value)) return '(circular)';
    if (depth >= MAX_DEPTH) return '(deeper)';
    const path = [...above, value];
    if (value instanceof Map) return walk(Object.fromEntries(value), secrets, depth, path);
    if (value instanceof Set) return walk([...value], secrets, depth, path);
    if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map((item) => walk(item, secrets, depth + 1, path));
    if ('toJSON' in value && typeof value.toJSON === 'function') return walk(value.toJSON(), secrets, depth + 1, path);
    const fields = value instanceof Error ? errorFields(value) : (value as Record<string, unknown>);
    const out: [string, unknown][] = [];
    for (const [key, item] of Object.entries(fields).slice(0, MAX_ENTRIES)) {
      const { secret, shown } = named(key, secrets);
      const safe = secret && item !== undefined ? MASK : walk(item, secrets, depth + 1, path);
      if (safe !== undefined) out.push([shown, safe]);
    }
    return Object.fromEntries(out);
  }
  return (value) => walk(value, knownForms(), 0, []);
}

/** `message` and `stack` are not enumerable; what a driver or KlarError adds (code, kind, detail) is. */
function errorFields(error: Error): Record<string, unknown> {
  const { name, message, stack } = error;
  const fields: Record<string, unknown> = { ...error, name, message, stack };
  if (error.cause !== undefined) fields.cause = error.cause;
  return fields;
}
