import type { ZodType } from 'zod';

/** How a queue behaves. Times in seconds. */
export interface QueueOptions {
  /** Attempts after the first, before the job goes to the dead letter queue. Default 10. */
  retryLimit?: number;
  /** Base of the exponential, jittered backoff. Default 2. */
  retryDelayS?: number;
  /** Longest pause between attempts. Default 900. */
  retryDelayMaxS?: number;
  /** A handler that runs longer has failed. Default 120. */
  expireInS?: number;
  /** A worker silent for so long is dead and its job goes to another. At least 10. Default 30. */
  heartbeatS?: number;
  /** A job nobody took for so long is deleted. Default 14 days. */
  retentionS?: number;
  /** How long finished jobs stay to be looked at. Default 3 days. */
  deleteAfterS?: number;
  /** `short`: one waiting job per singletonKey; `exclusive`: one waiting or running. Default `standard`: any number. */
  policy?: 'standard' | 'short' | 'exclusive' | 'singleton';
}

/** A queue: its name, the shape of its payload, its behaviour. Declared in a module's `jobs.ts`. */
export interface QueueDef<P> {
  readonly name: string;
  readonly deadLetter: string;
  readonly schema: ZodType<P>;
  readonly options: Required<QueueOptions>;
}

// biome-ignore lint/suspicious/noExplicitAny: a list of queues has a payload type per element
export type AnyQueueDef = QueueDef<any>;

const DEFAULTS: Required<QueueOptions> = {
  retryLimit: 10,
  retryDelayS: 2,
  retryDelayMaxS: 900,
  expireInS: 120,
  heartbeatS: 30,
  retentionS: 14 * 86_400,
  deleteAfterS: 3 * 86_400,
  policy: 'standard',
};

/** Jobs of a dead letter queue wait for a person; nothing may delete them before one has looked. */
export const DEAD_LETTER_RETENTION_S = 90 * 86_400;

const declared = new Map<string, AnyQueueDef>();

/**
 * Declares a queue. `klar migrate` makes it, with a dead letter queue `<name>.dead`; services never do.
 *
 * @param name `module.verb`
 */
export function defineQueue<P>(name: string, input: { schema: ZodType<P> } & QueueOptions): QueueDef<P> {
  if (!/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/.test(name))
    throw new TypeError(`queue name ${name} must look like module.verb`);
  if (declared.has(name)) throw new TypeError(`queue ${name} is declared twice`);
  const { schema, ...options } = input;
  const def: QueueDef<P> = { name, deadLetter: `${name}.dead`, schema, options: { ...DEFAULTS, ...options } };
  declared.set(name, def);
  return def;
}

/** The declared queue of that name. */
export function queueByName(name: string): AnyQueueDef | undefined {
  return declared.get(name);
}

/** Every queue declared by the modules this process has loaded. */
export function declaredQueues(): AnyQueueDef[] {
  return [...declared.values()];
}
