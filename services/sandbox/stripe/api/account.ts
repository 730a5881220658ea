import type Stripe from 'stripe';
import { balanceOf } from '../balance.ts';
import { inRange, listPage } from '../list.ts';
import { expand, type Fields, page, text, unsupported } from '../params.ts';
import { refuse } from '../stripe-error.ts';
import { ACCOUNT_ID } from '../world.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

const transactionFields: Fields<Stripe.BalanceTransactionListParams> = {
  ...page,
  created: { type: 'range' },
  currency: text({ max: 3 }),
  payout: unsupported,
  source: text(),
  type: text(),
};

/** The one account. `email` and the rest of a real account's onboarding are not played. */
const account = {
  id: ACCOUNT_ID,
  object: 'account',
  business_profile: { name: 'Klar sandbox', support_email: null, url: null },
  business_type: 'company',
  charges_enabled: true,
  country: 'US',
  default_currency: 'usd',
  details_submitted: true,
  email: 'sandbox@example.com',
  metadata: {},
  payouts_enabled: true,
  settings: { dashboard: { display_name: 'Klar sandbox', timezone: 'Etc/UTC' } },
  type: 'standard',
};

/** https://docs.stripe.com/api/accounts, /balance, /balance_transactions */
export const accounts: Endpoint[] = [
  endpoint('GET', '/v1/account', { expand }, () => account),
  endpoint('GET', '/v1/accounts/:id', { expand }, (_world, _params, id) => {
    if (id !== ACCOUNT_ID) throw refuse.noSuch('account', id, 'account');
    return account;
  }),
  endpoint('GET', '/v1/balance', { expand }, (world) => balanceOf(world)),
  endpoint('GET', '/v1/balance_transactions', transactionFields, (world, params) => {
    const wanted = world.store
      .all('transactions')
      .filter(
        (entry) =>
          inRange(entry.created, params.created) &&
          (!params.source || entry.source === params.source) &&
          (!params.type || entry.type === params.type) &&
          (!params.currency || entry.currency === params.currency),
      );
    return listPage(wanted, params, { url: '/v1/balance_transactions', kind: 'balance_transaction' });
  }),
  endpoint('GET', '/v1/balance_transactions/:id', { expand }, (world, _params, id) => {
    const entry = world.store.get('transactions', id);
    if (!entry) throw refuse.noSuch('balance_transaction', id, 'id');
    return entry;
  }),
];
