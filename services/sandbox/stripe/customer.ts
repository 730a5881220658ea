import type Stripe from 'stripe';
import { emit } from './emit.ts';
import { randomLetters, stripeId } from './stripe-id.ts';
import type { World } from './world.ts';

export type CustomerInput = {
  email?: string | null;
  name?: string | null;
  phone?: string | null;
  description?: string | null;
  metadata?: Record<string, string>;
};

/** Stores a customer and says `customer.created`. */
export function createCustomer(world: World, input: CustomerInput): Stripe.Customer {
  const customer = {
    id: stripeId('cus'),
    object: 'customer',
    address: null,
    balance: 0,
    created: world.clock.unix(),
    currency: null,
    customer_account: null,
    default_source: null,
    delinquent: false,
    description: input.description ?? null,
    discount: null,
    email: input.email ?? null,
    invoice_prefix: randomLetters(8).toUpperCase(),
    invoice_settings: { custom_fields: null, default_payment_method: null, footer: null, rendering_options: null },
    livemode: false,
    metadata: input.metadata ?? {},
    name: input.name ?? null,
    next_invoice_sequence: 1,
    phone: input.phone ?? null,
    preferred_locales: [],
    shipping: null,
    tax_exempt: 'none',
    test_clock: null,
  } as unknown as Stripe.Customer;
  world.store.put('customers', customer);
  emit(world, 'customer.created', customer);
  return customer;
}
