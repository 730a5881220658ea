import { deepEqual, equal } from 'node:assert/strict';
import { OpenFeature, ProviderEvents } from '@openfeature/server-sdk';
import { compileFlags, createFlags, FLAGS, type FlagSet, type FlagStore, type Flags } from '#domain/flags/index.ts';
import { until } from '../../support/until.ts';
import { json, sample } from './documents.ts';

/** A store whose flags are set by hand; files have tests of their own. */
function memoryStore() {
  let set: FlagSet | undefined;
  const listeners = new Set<(set: FlagSet) => void>();
  const store: FlagStore = {
    current: () => set,
    state: () => ({ version: set?.version ?? null, sequence: null, source: null, loadedAt: null, problem: null }),
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    checkNow() {},
    close() {},
  };
  const use = (document: unknown) => {
    const result = compileFlags(json(document), FLAGS);
    if (!result.ok) throw new Error('bad document');
    set = result.set;
    for (const listener of listeners) listener(result.set);
  };
  return { store, use, listeners };
}

describe('flags through OpenFeature', () => {
  let flags: Flags;
  let memory: ReturnType<typeof memoryStore>;
  beforeEach(async () => {
    memory = memoryStore();
    flags = await createFlags(memory.store, 'klar-test');
  });
  afterEach(() => flags.close());

  it('are the defaults of the code without a document', async () => {
    equal(flags.isOn('checkout-enabled', { tenantId: 'ten_a' }), true);
    const details = await flags.client.getBooleanDetails('checkout-enabled', true);
    equal(details.errorCode, 'FLAG_NOT_FOUND');
  });

  it('are what the document says, from one question to the next', async () => {
    const document = sample();
    memory.use(document);
    equal(flags.isOn('checkout-enabled'), true);
    Object.assign(document.flags['checkout-enabled'] as object, { defaultVariant: 'off' });
    memory.use(document);
    equal(flags.isOn('checkout-enabled'), false);
  });

  it('know the tenant and the person', async () => {
    const document = sample();
    const targeting = {
      if: [{ '==': [{ var: 'tenantId' }, 'ten_a'] }, 'off', { '==': [{ var: 'personId' }, 'per_1'] }, 'off'],
    };
    Object.assign(document.flags['checkout-enabled'] as object, { targeting });
    memory.use(document);
    equal(flags.isOn('checkout-enabled', { tenantId: 'ten_a' }), false);
    equal(flags.isOn('checkout-enabled', { tenantId: 'ten_b' }), true);
    equal(flags.isOn('checkout-enabled', { tenantId: 'ten_b', personId: 'per_1' }), false);
  });

  it('fall back on the default of the code while they are DISABLED', async () => {
    const document = sample();
    Object.assign(document.flags['checkout-enabled'] as object, { state: 'DISABLED', defaultVariant: 'off' });
    memory.use(document);
    equal(flags.isOn('checkout-enabled'), true);
    equal((await flags.client.getBooleanDetails('checkout-enabled', true)).reason, 'DISABLED');
  });

  it('answer a question of another type with its default and say so', async () => {
    memory.use(sample());
    const { value, errorCode } = await flags.client.getBooleanDetails('page-size', false);
    deepEqual([value, errorCode], [false, 'TYPE_MISMATCH']);
    equal((await flags.client.getObjectDetails('page-size', {})).errorCode, 'TYPE_MISMATCH');
    equal(await flags.client.getNumberValue('page-size', 0), 20);
  });

  it('tell who listens that they changed, until they are closed', async () => {
    const seen: unknown[] = [];
    flags.client.addHandler(ProviderEvents.ConfigurationChanged, (event) => seen.push(event?.flagsChanged));
    memory.use(sample());
    await until(() => seen.length === 1);
    await flags.close();
    equal(memory.listeners.size, 0);
    // Its registry lives as long as the process: a provider that stayed there would hold the store for ever.
    equal(OpenFeature.getProvider('klar-test').metadata.name, 'No-op Provider');
  });
});
