import { refundsOf } from './api/charges.ts';
import { lineItemsOf } from './api/checkout-sessions.ts';
import { refuse } from './stripe-error.ts';
import type { World } from './world.ts';

/** Stripe expands four levels deep. https://docs.stripe.com/api/expanding_objects */
const DEEPEST = 4;

type Json = Record<string, unknown>;

/** What an id stands for, by its prefix. */
function objectOf(world: World, id: string): object | undefined {
  const { store } = world;
  switch (id.slice(0, id.indexOf('_'))) {
    case 'pi':
      return store.get('intents', id);
    case 'ch':
    case 'py':
      return store.get('charges', id);
    case 'cus':
      return store.get('customers', id);
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

/** Lists that are left out unless asked for. */
function included(world: World, owner: Json, name: string): object | undefined {
  if (owner.object === 'checkout.session' && name === 'line_items') return lineItemsOf(world, String(owner.id));
  if (owner.object === 'charge' && name === 'refunds') return refundsOf(world, String(owner.id));
  return undefined;
}

/** A copy of the answer with the named properties expanded. The stored objects are never changed. */
export function expandAnswer(world: World, answer: object, paths: readonly string[]): object {
  const copy = structuredClone(answer) as Json;
  for (const path of paths) {
    const steps = path.split('.');
    if (steps.length > DEEPEST + (steps[0] === 'data' ? 1 : 0)) {
      throw refuse.invalid(`You cannot expand more than ${DEEPEST} levels of a property.`, { param: 'expand' });
    }
    expandPath(world, copy, steps, path);
  }
  return copy;
}

function expandPath(world: World, node: unknown, steps: string[], path: string): void {
  const [step, ...rest] = steps;
  if (step === undefined || node === null) return;
  if (Array.isArray(node)) {
    for (const item of node) expandPath(world, item, steps, path);
    return;
  }
  const owner = node as Json;
  if (!Object.hasOwn(owner, step)) {
    const list = included(world, owner, step);
    if (!list) throw refuse.invalid(`This property cannot be expanded (${path}).`, { param: 'expand' });
    owner[step] = structuredClone(list);
  }
  const value = owner[step];
  if (typeof value === 'string') {
    const object = objectOf(world, value);
    if (!object) throw refuse.invalid(`This property cannot be expanded (${path}).`, { param: 'expand' });
    owner[step] = structuredClone(object);
  }
  expandPath(world, owner[step], rest, path);
}
