import type { ItemKind } from './order.ts';

/** What was handed over for one order line, once. */
export interface Fulfilment {
  readonly id: string;
  readonly order_id: string;
  readonly order_line_id: string;
  readonly kind: ItemKind;
  /** Id of the enrollment for a course; null where this row itself is the entitlement (a booked service). */
  readonly object_id: string | null;
  /** `already_had`: the buyer had it from elsewhere when the money arrived; somebody should give it back. */
  readonly outcome: 'granted' | 'already_had';
  readonly created_at: Date;
}
