import type Stripe from 'stripe';
import { createCustomer } from '../customer.ts';
import { emit } from '../emit.ts';
import { inRange, listPage } from '../list.ts';
import { cosmetic, expand, type Fields, mergeMetadata, metadata, page, text, unsupported } from '../params.ts';
import { refuse } from '../stripe-error.ts';
import type { World } from '../world.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

const PATH = '/v1/customers';

const common = {
  address: cosmetic,
  balance: unsupported,
  business_name: cosmetic,
  cash_balance: unsupported,
  description: text({ max: 5000 }),
  email: text({ max: 512 }),
  expand,
  individual_name: cosmetic,
  invoice_prefix: cosmetic,
  invoice_settings: unsupported,
  metadata,
  name: text({ max: 256 }),
  next_invoice_sequence: cosmetic,
  phone: text({ max: 20 }),
  preferred_locales: cosmetic,
  shipping: cosmetic,
  source: unsupported,
  tax: unsupported,
  tax_exempt: cosmetic,
  validate: cosmetic,
} as const;
const createFields: Fields<Stripe.CustomerCreateParams> = {
  ...common,
  payment_method: unsupported,
  tax_id_data: unsupported,
  test_clock: unsupported,
};
const updateFields: Fields<Stripe.CustomerUpdateParams> = { ...common, default_source: unsupported };
const listFields: Fields<Stripe.CustomerListParams> = {
  ...page,
  created: { type: 'range' },
  email: text({ max: 512 }),
  test_clock: unsupported,
};

function requireCustomer(world: World, id: string): Stripe.Customer {
  const customer = world.store.get('customers', id);
  if (!customer) throw refuse.noSuch('customer', id, 'id');
  return customer;
}

/** https://docs.stripe.com/api/customers */
export const customers: Endpoint[] = [
  endpoint('POST', PATH, createFields, (world, params) =>
    createCustomer(world, {
      email: params.email ?? null,
      name: params.name ?? null,
      phone: params.phone ?? null,
      description: params.description ?? null,
      metadata: mergeMetadata({}, params.metadata),
    }),
  ),
  endpoint('GET', PATH, listFields, (world, params) => {
    const wanted = world.store
      .all('customers')
      .filter(
        (customer) => inRange(customer.created, params.created) && (!params.email || customer.email === params.email),
      );
    return listPage(wanted, params, { url: PATH, kind: 'customer' });
  }),
  endpoint('GET', `${PATH}/:id`, { expand }, (world, _params, id) => requireCustomer(world, id)),
  endpoint('POST', `${PATH}/:id`, updateFields, (world, params, id) => {
    const customer = requireCustomer(world, id);
    const changed = world.store.put('customers', {
      ...customer,
      description: params.description ?? customer.description,
      email: params.email ?? customer.email,
      name: params.name ?? customer.name ?? null,
      phone: params.phone ?? customer.phone ?? null,
      metadata: mergeMetadata(customer.metadata, params.metadata),
    });
    emit(world, 'customer.updated', changed);
    return changed;
  }),
  endpoint('DELETE', `${PATH}/:id`, {}, (world, _params, id) => {
    const customer = requireCustomer(world, id);
    world.store.remove('customers', id);
    emit(world, 'customer.deleted', customer);
    return { id, object: 'customer', deleted: true };
  }),
];
