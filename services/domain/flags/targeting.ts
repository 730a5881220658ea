import { murmur32 } from './murmur.ts';
import { at, type FlagProblem, type Path } from './problem.ts';

/** For whom a flag is asked. A machine has no person; something for everybody, like a webhook, has neither. */
export type FlagContext = { tenantId?: string | undefined; personId?: string | undefined };

/** What a rule may ask for. `targetingKey` is what OpenFeature calls its subject: here the tenant. */
const SUBJECTS = ['tenantId', 'personId', 'targetingKey'] as const;
const FLAG_KEY = '$flagd.flagKey';
const VARIABLES = [...SUBJECTS, FLAG_KEY] as const;
type Variable = (typeof VARIABLES)[number];

/** Missing is null, as in flagd's engine. */
type Value = (context: FlagContext) => string | null;
type Condition = (context: FlagContext) => boolean;
/** The variant's name; null leads to the default variant. */
export type Target = (context: FlagContext) => string | null;

export type CompiledTargeting = {
  run: Target;
  /** Variants that it can answer with. */
  reaches: ReadonlySet<string>;
  /** Whether it can also leave the choice to the default variant. */
  reachesDefault: boolean;
  /** Constants in it: how much somebody wrote, for the shrink guard. */
  size: number;
};

const CONDITIONS = ['==', '===', '!=', '!==', 'in', 'starts_with', 'ends_with', 'and', 'or', '!'] as const;

/**
 * The part of flagd's targeting that is strict: a rule of it means in flagd what it means here (a test compares them),
 * and each operand is of the type that its operator needs, so nothing can go wrong when it is evaluated.
 */
export class TargetingCompiler {
  readonly #problems: FlagProblem[];
  readonly #flag: string;
  readonly #variants: readonly string[];
  readonly #reaches = new Set<string>();
  #reachesDefault = false;
  #size = 0;

  constructor(flag: string, variants: readonly string[], problems: FlagProblem[]) {
    this.#flag = flag;
    this.#variants = variants;
    this.#problems = problems;
  }

  compile(rule: unknown, path: Path): CompiledTargeting {
    const run = this.#target(rule, path);
    return { run, reaches: this.#reaches, reachesDefault: this.#reachesDefault, size: this.#size };
  }

  #refuse(path: Path, problem: string, mend: string): () => null {
    this.#problems.push(at(path, problem, mend));
    return () => null;
  }

  /** The one operator of a rule and its operands. */
  #operator(rule: unknown, path: Path, allowed: readonly string[]): { name: string; operands: unknown[]; path: Path } {
    const names = typeof rule === 'object' && rule !== null && !Array.isArray(rule) ? Object.keys(rule) : [];
    const name = names[0];
    const mend = `Write a map of one of: ${allowed.join(', ')}.`;
    if (names.length !== 1 || name === undefined) {
      const what = names.length > 1 ? `has ${names.length} operators (${names.join(', ')})` : 'is no rule';
      this.#refuse(path, what, mend);
      return { name: '', operands: [], path };
    }
    if (!allowed.includes(name)) {
      this.#refuse(path, `has the operator "${name}", which is not taken here`, mend);
      return { name: '', operands: [], path };
    }
    const operands = (rule as Record<string, unknown>)[name];
    // JsonLogic takes one operand without its list.
    return { name, operands: Array.isArray(operands) ? operands : [operands], path: [...path, name] };
  }

  #target(rule: unknown, path: Path): Target {
    if (rule === null) {
      this.#reachesDefault = true;
      return () => null;
    }
    if (typeof rule === 'string') return this.#variant(rule, path);
    const { name, operands, path: inner } = this.#operator(rule, path, ['if', 'fractional']);
    if (name === 'if') return this.#if(operands, inner);
    if (name === 'fractional') return this.#fractional(operands, inner);
    return () => null;
  }

  #variant(name: string, path: Path): Target {
    if (!this.#variants.includes(name)) {
      return this.#refuse(path, `leads to "${name}", which is no variant`, `There is: ${this.#variants.join(', ')}.`);
    }
    this.#reaches.add(name);
    this.#size += 1;
    return () => name;
  }

  #if(operands: unknown[], path: Path): Target {
    if (operands.length < 2) {
      return this.#refuse(path, 'is no condition with a result', 'Write "if": [condition, variant, else].');
    }
    const branches: [Condition, Target][] = [];
    for (let i = 0; i + 1 < operands.length; i += 2) {
      branches.push([this.#condition(operands[i], [...path, i]), this.#target(operands[i + 1], [...path, i + 1])]);
    }
    const last = operands.length % 2 === 1 ? operands[operands.length - 1] : null;
    const otherwise = this.#target(last, [...path, operands.length - 1]);
    const [first] = branches;
    if (branches.length === 1 && first) {
      const [condition, then] = first;
      return (context) => (condition(context) ? then(context) : otherwise(context));
    }
    return (context) => {
      for (const [condition, then] of branches) if (condition(context)) return then(context);
      return otherwise(context);
    };
  }

  #fractional(operands: unknown[], path: Path): Target {
    const explicit = !Array.isArray(operands[0]);
    if (explicit && !varies(operands[0])) {
      const mend = `Let it hold one of: ${SUBJECTS.join(', ')}; with a constant everybody is in one bucket.`;
      return this.#refuse([...path, 0], 'is the same for everybody', mend);
    }
    const key = explicit ? this.#value(operands[0], [...path, 0]) : this.#defaultKey();
    const buckets = explicit ? operands.slice(1) : operands;
    const names: string[] = [];
    const bounds: number[] = [];
    let sum = 0;
    for (const [index, bucket] of buckets.entries()) {
      const place = [...path, index + (explicit ? 1 : 0)];
      const [name, weight, ...more] = Array.isArray(bucket) ? bucket : [];
      if (typeof name !== 'string' || more.length > 0 || !Number.isInteger(weight) || weight < 0) {
        return this.#refuse(place, 'is no share', 'Write ["variant", percent] with a whole number from 0 to 100.');
      }
      if (!this.#variants.includes(name) || weight > 0) this.#variant(name, place);
      sum += weight;
      names.push(name);
      bounds.push(sum);
    }
    if (sum !== 100) return this.#refuse(path, `has shares of ${sum} %`, 'Let them add up to 100.');
    // Without a subject nobody can be put into a bucket, as in flagd.
    this.#reachesDefault = true;
    return (context) => {
      const subject = key(context);
      if (subject === null) return null;
      // 32 bits times 100 stay exact in a double.
      const bucket = Math.floor((murmur32(subject) * 100) / 4_294_967_296);
      for (let i = 0; i < bounds.length; i += 1) if ((bounds[i] as number) > bucket) return names[i] as string;
      return null;
    };
  }

  #defaultKey(): Value {
    const flag = this.#flag;
    return ({ tenantId }) => (tenantId ? flag + tenantId : null);
  }

  #condition(rule: unknown, path: Path): Condition {
    const { name, operands, path: inner } = this.#operator(rule, path, CONDITIONS);
    const never = () => false;
    const count = (n: number) => {
      if (operands.length === n) return true;
      this.#refuse(inner, `has ${operands.length} operands`, `Give it ${n}.`);
      return false;
    };
    const values = (): [Value, Value] => [
      this.#value(operands[0], [...inner, 0]),
      this.#value(operands[1], [...inner, 1]),
    ];
    switch (name) {
      case '==':
      case '===':
      case '!=':
      case '!==': {
        if (!count(2) || !this.#varies(operands, inner)) return never;
        const [left, right] = values();
        return name.startsWith('=')
          ? (context) => left(context) === right(context)
          : (context) => left(context) !== right(context);
      }
      case 'starts_with':
      case 'ends_with': {
        if (!count(2) || !this.#varies(operands, inner)) return never;
        const [text, part] = values();
        const test = name === 'starts_with' ? startsWith : endsWith;
        return (context) => test(text(context), part(context));
      }
      case 'in': {
        if (!count(2) || !this.#varies(operands.slice(0, 1), inner)) return never;
        return this.#in(this.#value(operands[0], [...inner, 0]), operands[1], [...inner, 1]);
      }
      case '!': {
        if (!count(1)) return never;
        const condition = this.#condition(operands[0], [...inner, 0]);
        return (context) => !condition(context);
      }
      case 'and':
      case 'or': {
        if (operands.length === 0) {
          this.#refuse(inner, 'has no operands', 'Give it at least one condition.');
          return never;
        }
        const all = operands.map((operand, index) => this.#condition(operand, [...inner, index]));
        return name === 'and'
          ? (context) => all.every((condition) => condition(context))
          : (context) => all.some((condition) => condition(context));
      }
      default:
        return never;
    }
  }

  #in(needle: Value, list: unknown, path: Path): Condition {
    // flagd also searches within a text; for ids that is only ever a mistake ("t_1" is in "t_10").
    if (!Array.isArray(list) || list.length === 0 || !list.every((item) => typeof item === 'string')) {
      this.#refuse(path, 'is no list of texts', 'Write the second operand of "in" as ["id", "id"].');
      return () => false;
    }
    this.#size += list.length;
    const ids: ReadonlySet<string | null> = new Set(list);
    return (context) => ids.has(needle(context));
  }

  /** A condition on constants is always the same: a variant that is dead or a rule for everybody in disguise. */
  #varies(operands: unknown[], path: Path): boolean {
    if (operands.some(varies)) return true;
    this.#refuse(path, 'has constants only', `Let it ask for one of: ${SUBJECTS.join(', ')}.`);
    return false;
  }

  #value(rule: unknown, path: Path): Value {
    if (typeof rule === 'string') {
      this.#size += 1;
      return () => rule;
    }
    if (typeof rule !== 'object' || rule === null) {
      return this.#refuse(
        path,
        `is ${JSON.stringify(rule)}`,
        'Write a text in quotes, {"var": "tenantId"} or {"cat": [..]}.',
      );
    }
    const { name, operands, path: inner } = this.#operator(rule, path, ['var', 'cat']);
    if (name === 'var') return this.#variable(operands, inner);
    if (name !== 'cat') return () => null;
    const parts = operands.map((operand, index) => this.#value(operand, [...inner, index]));
    if (!this.#varies(operands, inner)) return () => null;
    // With a missing part it is missing: flagd's engine makes "", "null" or 0 of that, by how it compiled the rule, and
    // would put everybody without an id into one bucket.
    return (context) => {
      let text = '';
      for (const part of parts) {
        const found = part(context);
        if (found === null) return null;
        text += found;
      }
      return text;
    };
  }

  #variable(operands: unknown[], path: Path): Value {
    const name = operands[0] as Variable;
    if (operands.length !== 1 || !VARIABLES.includes(name)) {
      return this.#refuse(path, `asks for ${JSON.stringify(operands[0])}`, `There is: ${VARIABLES.join(', ')}.`);
    }
    const flag = this.#flag;
    if (name === FLAG_KEY) return () => flag;
    return name === 'personId' ? ({ personId }) => personId ?? null : ({ tenantId }) => tenantId ?? null;
  }
}

/** Whether a value can differ between two who ask: the flag's own name never does, and what is no rule is told elsewhere. */
function varies(rule: unknown): boolean {
  if (typeof rule !== 'object' || rule === null) return false;
  if ('var' in rule) return String(Array.isArray(rule.var) ? rule.var[0] : rule.var) !== FLAG_KEY;
  if ('cat' in rule) return Array.isArray(rule.cat) ? rule.cat.some(varies) : varies(rule.cat);
  return true;
}

const startsWith = (text: string | null, part: string | null) =>
  text !== null && part !== null && text.startsWith(part);
const endsWith = (text: string | null, part: string | null) => text !== null && part !== null && text.endsWith(part);
