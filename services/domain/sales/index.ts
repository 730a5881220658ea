/** Services, prices, orders, fulfilments. See README.md. */
export type { Fulfilment } from './fulfilment.ts';
export { addMoney, CURRENCIES, currencyExponent, formatMoney, type Money, money } from './money.ts';
export { SERVICE_STATUSES, type Service, type ServiceStatus } from './offering.ts';
export { ITEM_KINDS, type ItemKind, isUnpaid, type LineRequest, ORDER_STATUSES, type OrderStatus } from './order.ts';
export {
  type Buyer,
  fulfilmentsOf,
  getOrder,
  listOrders,
  lockPayableOrder,
  lockVisibleOrder,
  placeOrder,
  settleOrder,
} from './order-service.ts';
export { plainLine } from './receipt.ts';
export type { Order, OrderLine } from './record.ts';
export { createService, getService, listServices, pricesOf, setPrice, updateService } from './service.ts';
