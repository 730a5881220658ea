/** As `metav1.Condition`, so that people and tools who know Kubernetes can read it. */
export type Condition = {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  /** One CamelCase word for programs. */
  reason: string;
  /** For people: what is wrong and what mends it. Never a secret's value. */
  message: string;
  /** When `status` last changed, RFC 3339. */
  lastTransitionTime: string;
  /** Which generation of the source this speaks of; ConfigMaps count none, so it is the reader's own number. */
  observedGeneration: number;
};

export type ConditionInput = Omit<Condition, 'lastTransitionTime'>;

/** The API's limit is 32768; what a person reads ends long before. */
const MESSAGE_MAX = 1_024;

/**
 * The conditions with one of them set. The very same array when that changes nothing, so that nobody writes for
 * nothing; the time moves only with the status, so that it says since when.
 */
export function setCondition(conditions: readonly Condition[], input: ConditionInput, now: Date): readonly Condition[] {
  if (!/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/.test(input.reason)) {
    throw new TypeError(`a reason is one CamelCase word, not ${JSON.stringify(input.reason)}`);
  }
  const message = input.message.length > MESSAGE_MAX ? `${input.message.slice(0, MESSAGE_MAX - 3)}...` : input.message;
  const before = conditions.find((condition) => condition.type === input.type);
  const next: Condition = {
    type: input.type,
    status: input.status,
    reason: input.reason,
    message,
    lastTransitionTime: before?.status === input.status ? before.lastTransitionTime : now.toISOString(),
    observedGeneration: input.observedGeneration,
  };
  if (before && (Object.keys(next) as (keyof Condition)[]).every((key) => before[key] === next[key])) return conditions;
  return before
    ? conditions.map((condition) => (condition === before ? next : condition))
    : [...conditions, next].sort((a, b) => (a.type < b.type ? -1 : 1));
}

/** Conditions as stored. What somebody broke by hand is dropped: it is written anew. */
export function parseConditions(text: string | undefined): Condition[] {
  try {
    const found = JSON.parse(text ?? '[]') as unknown;
    return Array.isArray(found) ? found.filter(isCondition) : [];
  } catch {
    return [];
  }
}

function isCondition(value: unknown): value is Condition {
  if (typeof value !== 'object' || value === null) return false;
  const { type, status, reason, message, lastTransitionTime, observedGeneration } = value as Record<string, unknown>;
  return (
    [type, reason, message, lastTransitionTime].every((field) => typeof field === 'string') &&
    (status === 'True' || status === 'False' || status === 'Unknown') &&
    typeof observedGeneration === 'number'
  );
}
