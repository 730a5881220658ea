/** What the code can ask, and what it does when no document answers. */
export type CodeFlag = {
  type: 'boolean' | 'string' | 'number';
  /** The value without a document, without this flag in it, and while it is DISABLED. */
  default: boolean | string | number;
  /** What happens when it is not its default: the sentence that a person reads before turning it. */
  does: string;
};

/**
 * Every flag that the code asks for. `flags.yaml` has the same ones: `klar flags lint` and the tests compare them both
 * ways. A flag that is not here cannot be asked for, as its name does not compile.
 */
export const FLAGS = {
  'checkout-enabled': {
    type: 'boolean',
    default: true,
    does: 'Off: no new checkout session is begun (503 with Retry-After); what was begun is still taken and fulfilled.',
  },
  'webhook-handling-enabled': {
    type: 'boolean',
    default: true,
    does: 'Off: events of providers are received and stored, and wait unhandled in the inbox until it is on again.',
  },
} as const satisfies Record<string, CodeFlag>;

export type FlagKey = keyof typeof FLAGS;
/** Flags that are asked with `isOn`. */
export type SwitchKey = { [K in FlagKey]: (typeof FLAGS)[K]['type'] extends 'boolean' ? K : never }[FlagKey];
