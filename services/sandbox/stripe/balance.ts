import type Stripe from 'stripe';
import { stripeId } from './stripe-id.ts';
import type { World } from './world.ts';

/** Stripe's standard fee in the US, 2.9 % + 30 minor units, so that fee columns are not empty in a demo. */
const feeOf = (amount: number) => Math.round(amount * 0.029) + 30;

/** Books money on the account's balance. `amount` is negative for money that leaves. Fees are for charges only. */
export function bookTransaction(
  world: World,
  input: {
    type: 'charge' | 'refund' | 'adjustment' | 'refund_failure';
    amount: number;
    currency: string;
    source: string;
  },
): Stripe.BalanceTransaction {
  const fee = input.type === 'charge' ? feeOf(input.amount) : 0;
  const now = world.clock.unix();
  const transaction = {
    id: stripeId('txn'),
    object: 'balance_transaction',
    amount: input.amount,
    available_on: now + 2 * 24 * 3600,
    balance_type: 'payments',
    created: now,
    currency: input.currency,
    description: null,
    exchange_rate: null,
    fee,
    fee_details: fee
      ? [
          {
            amount: fee,
            application: null,
            currency: input.currency,
            description: 'Stripe processing fees',
            type: 'stripe_fee',
          },
        ]
      : [],
    net: input.amount - fee,
    reporting_category: input.type,
    source: input.source,
    status: 'pending',
    type: input.type,
  } as unknown as Stripe.BalanceTransaction;
  return world.store.put('transactions', transaction);
}

/** The account's balance: what has become available and what is still on its way, a line a currency. */
export function balanceOf(world: World) {
  const now = world.clock.unix();
  const sums = { available: new Map<string, number>(), pending: new Map<string, number>() };
  for (const entry of world.store.all('transactions')) {
    const side = entry.available_on <= now ? sums.available : sums.pending;
    side.set(entry.currency, (side.get(entry.currency) ?? 0) + entry.net);
  }
  const lines = (side: Map<string, number>) =>
    (side.size > 0 ? [...side] : [['usd', 0] as const]).map(([currency, amount]) => ({
      amount,
      currency,
      source_types: { card: amount },
    }));
  return {
    object: 'balance' as const,
    available: lines(sums.available),
    livemode: false,
    pending: lines(sums.pending),
  };
}
