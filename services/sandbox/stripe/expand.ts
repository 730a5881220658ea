import { refundsOf } from './api/charges.ts';
import { lineItemsOf } from './api/checkout-sessions.ts';
import { refuse } from './stripe-error.ts';
import type { World } from './world.ts';

/** Stripe expands four levels deep. https://docs.stripe.com/api/expanding_objects */
const DEEPEST = 4;

/** What can be expanded, a row an object: the property and the object it becomes (`list:` = a list left out unless asked). */
const EXPANDABLE: Record<string, Record<string, string>> = {
  'checkout.session': { customer: 'customer', line_items: 'list:item', payment_intent: 'payment_intent' },
  payment_intent: { customer: 'customer', latest_charge: 'charge', payment_method: 'payment_method' },
  charge: {
    balance_transaction: 'balance_transaction',
    customer: 'customer',
    payment_intent: 'payment_intent',
    refunds: 'list:refund',
  },
  refund: {
    balance_transaction: 'balance_transaction',
    charge: 'charge',
    customer: 'customer',
    failure_balance_transaction: 'balance_transaction',
    payment_intent: 'payment_intent',
    payment_method: 'payment_method',
  },
  dispute: { charge: 'charge', payment_intent: 'payment_intent' },
  payment_method: { customer: 'customer' },
  balance_transaction: { source: 'charge' },
};

/** The object at a path of the API, for the check of `expand`; a list has it under `data`. */
const RETURNED: [RegExp, string][] = [
  [/^\/v1\/checkout\/sessions\/[^/]+\/line_items$/, 'item'],
  [/^\/v1\/checkout\/sessions/, 'checkout.session'],
  [/^\/v1\/payment_intents/, 'payment_intent'],
  [/^\/v1\/charges/, 'charge'],
  [/^\/v1\/refunds/, 'refund'],
  [/^\/v1\/disputes/, 'dispute'],
  [/^\/v1\/payment_methods/, 'payment_method'],
  [/^\/v1\/balance_transactions/, 'balance_transaction'],
];

type Json = Record<string, unknown>;

/**
 * Checks `expand` before the endpoint runs, so that a wrong one changes nothing.
 * @throws StripeRefusal in Stripe's words.
 */
export function requireExpandable(path: string, isList: boolean, paths: readonly string[]): void {
  const root = RETURNED.find(([pattern]) => pattern.test(path))?.[1] ?? '';
  for (const wanted of paths) {
    const steps = wanted.split('.');
    if (isList && steps.shift() !== 'data') throw cannot(wanted);
    if (steps.length > DEEPEST) {
      throw refuse.invalid(`You cannot expand more than ${DEEPEST} levels of a property.`, { param: 'expand' });
    }
    let type: string | undefined = root;
    for (const [index, step] of steps.entries()) {
      if (type.startsWith('list:') && step === 'data') {
        type = type.slice('list:'.length);
        continue;
      }
      const next: string | undefined = EXPANDABLE[type]?.[step];
      if (next === undefined) throw cannot(steps.slice(0, index + 1).join('.'));
      type = next;
    }
  }
}

const cannot = (path: string) => refuse.invalid(`This property cannot be expanded (${path}).`, { param: 'expand' });

/** A copy of the answer with the named properties expanded. The stored objects are never changed. */
export function expandAnswer(world: World, answer: object, paths: readonly string[]): object {
  const copy = structuredClone(answer) as Json;
  for (const path of paths) expandPath(world, copy, path.split('.'));
  return copy;
}

function expandPath(world: World, node: unknown, steps: string[]): void {
  const [step, ...rest] = steps;
  if (step === undefined || node === null || node === undefined) return;
  if (Array.isArray(node)) {
    for (const item of node) expandPath(world, item, steps);
    return;
  }
  const owner = node as Json;
  if (owner[step] === undefined) owner[step] = structuredClone(included(world, owner, step));
  const value = owner[step];
  if (typeof value === 'string') owner[step] = structuredClone(objectOf(world, value)) ?? value;
  expandPath(world, owner[step], rest);
}

/** Lists that are left out unless asked for. */
function included(world: World, owner: Json, name: string): object | undefined {
  if (owner.object === 'checkout.session' && name === 'line_items') return lineItemsOf(world, String(owner.id));
  if (owner.object === 'charge' && name === 'refunds') return refundsOf(world, String(owner.id));
  return undefined;
}

/** What an id stands for, by its prefix. */
function objectOf({ store }: World, id: string): object | undefined {
  switch (id.slice(0, id.indexOf('_'))) {
    case 'pi':
      return store.get('intents', id);
    case 'ch':
    case 'py':
      return store.get('charges', id);
    case 'cus':
      return store.get('customers', id) ?? { id, object: 'customer', deleted: true };
    case 'pm':
      return store.get('methods', id);
    case 're':
      return store.get('refunds', id)?.refund;
    case 'txn':
      return store.get('transactions', id);
    case 'du':
      return store.get('disputes', id);
    default:
      return undefined;
  }
}
