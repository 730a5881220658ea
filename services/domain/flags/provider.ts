import {
  type Client,
  ErrorCode,
  type EvaluationContext,
  type JsonValue,
  NOOP_PROVIDER,
  OpenFeature,
  OpenFeatureEventEmitter,
  type Provider,
  ProviderEvents,
  type ResolutionDetails,
} from '@openfeature/server-sdk';
import type { FlagStore } from './flag-store.ts';
import { FLAGS, type SwitchKey } from './flags.ts';
import type { FlagContext } from './targeting.ts';

/** OpenFeature's provider over a store: evaluated in this process, from memory. */
class KlarFlagProvider implements Provider {
  readonly metadata = { name: 'klar-flags' } as const;
  readonly runsOn = 'server';
  readonly events = new OpenFeatureEventEmitter();
  readonly #store: FlagStore;
  #stop: (() => void) | undefined;

  constructor(store: FlagStore) {
    this.#store = store;
  }

  async initialize(): Promise<void> {
    // Without a document the code's defaults are in use, which is a state to serve in and not an error.
    this.#stop = this.#store.onChange((set) => {
      this.events.emit(ProviderEvents.ConfigurationChanged, { flagsChanged: [...set.flags.keys()] });
    });
  }

  async onClose(): Promise<void> {
    this.#stop?.();
  }

  async resolveBooleanEvaluation(key: string, otherwise: boolean, context: EvaluationContext) {
    return this.#resolve('boolean', key, otherwise, context);
  }
  async resolveStringEvaluation(key: string, otherwise: string, context: EvaluationContext) {
    return this.#resolve('string', key, otherwise, context);
  }
  async resolveNumberEvaluation(key: string, otherwise: number, context: EvaluationContext) {
    return this.#resolve('number', key, otherwise, context);
  }
  async resolveObjectEvaluation<T extends JsonValue>(key: string, otherwise: T): Promise<ResolutionDetails<T>> {
    const errorMessage = `${key} is asked for an object; flags are booleans, texts and numbers`;
    return { value: otherwise, reason: 'ERROR', errorCode: ErrorCode.TYPE_MISMATCH, errorMessage };
  }

  #resolve<T extends boolean | string | number>(
    type: 'boolean' | 'string' | 'number',
    key: string,
    otherwise: T,
    context: EvaluationContext,
  ): ResolutionDetails<T> {
    const flag = this.#store.current()?.flags.get(key);
    if (!flag) return { value: otherwise, reason: 'ERROR', errorCode: ErrorCode.FLAG_NOT_FOUND };
    if (flag.type !== type) return { value: otherwise, reason: 'ERROR', errorCode: ErrorCode.TYPE_MISMATCH };
    const found = flag.evaluate(context as FlagContext);
    if (found.value === undefined) return { value: otherwise, reason: found.reason };
    return found as ResolutionDetails<T>;
  }
}

/** What the code asks: names that exist, with the default that `flags.ts` has for them. */
export type Flags = {
  /** From memory, without a promise: a loop may ask it each turn. */
  isOn(key: SwitchKey, context?: FlagContext): boolean;
  /** OpenFeature's, for who wants its hooks and details: 15 us a question. */
  client: Client;
  close(): Promise<void>;
};

/** `scope` keeps the flags of two parts of one process (all-in-one, tests) apart: OpenFeature's registry is global. */
export async function createFlags(store: FlagStore, scope: string): Promise<Flags> {
  const provider = new KlarFlagProvider(store);
  await OpenFeature.setProviderAndWait(scope, provider);
  return {
    client: OpenFeature.getClient(scope),
    isOn: switchOf(store),
    close: async () => {
      // Its registry knows no removal: a stand-in lets go of the store, and ends this provider.
      if (OpenFeature.getProvider(scope) === provider) await OpenFeature.setProviderAndWait(scope, NOOP_PROVIDER);
      await provider.onClose();
    },
  };
}

const NOBODY: FlagContext = {};

function switchOf(store: Pick<FlagStore, 'current'>): Flags['isOn'] {
  return (key, context = NOBODY) => {
    const flag = store.current()?.flags.get(key);
    const value = flag?.type === 'boolean' ? flag.evaluate(context).value : undefined;
    return typeof value === 'boolean' ? value : FLAGS[key].default;
  };
}
