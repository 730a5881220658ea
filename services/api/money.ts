import { z } from 'zod';
import { CURRENCIES } from '#domain/sales/index.ts';

/** An amount of money: integer minor units and an ISO 4217 code in upper case. */
export const moneyField = z.strictObject({
  amount: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
  currency: z.enum(CURRENCIES),
});

/** As answered: the same, without repeating the list of currencies in every document. */
export const moneyAnswer = z.object({ amount: z.int(), currency: z.string().length(3) });
