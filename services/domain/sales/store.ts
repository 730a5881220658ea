import { statement, type TenantTx } from '#platform/db/index.ts';
import type { Fulfilment } from './fulfilment.ts';
import type { Money } from './money.ts';
import type { Service, ServiceStatus } from './offering.ts';
import type { ItemKind, OrderStatus, PricedLine } from './order.ts';

const SERVICE = 's.id, s.title, s.description, s.duration_minutes, s.status, s.created_by, s.created_at, s.updated_at';

const insertServiceSql = statement<Service>(
  'sales.insert_service',
  `insert into app.services as s
     (tenant_id, id, title, description, duration_minutes, status, created_by, created_at, updated_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $8) returning ${SERVICE}`,
);

export function insertService(
  tx: TenantTx,
  row: { title: string; description: string; durationMinutes: number; status: ServiceStatus; createdBy: string },
): Promise<Service> {
  const { title, description, durationMinutes, status, createdBy } = row;
  const values = [tx.tenantId, tx.newId('svc'), title, description, durationMinutes, status, createdBy, tx.now()];
  return tx.one(insertServiceSql, values);
}

const updateServiceSql = statement<Service>(
  'sales.update_service',
  `update app.services as s set title = coalesce($3, s.title), description = coalesce($4, s.description),
     duration_minutes = coalesce($5, s.duration_minutes), status = coalesce($6, s.status), updated_at = $7
   where s.tenant_id = $1 and s.id = $2 returning ${SERVICE}`,
);

export function updateService(
  tx: TenantTx,
  id: string,
  patch: {
    title?: string | undefined;
    description?: string | undefined;
    durationMinutes?: number | undefined;
    status?: ServiceStatus | undefined;
  },
): Promise<Service | undefined> {
  const { title, description, durationMinutes, status } = patch;
  return tx.maybe(updateServiceSql, [tx.tenantId, id, title, description, durationMinutes, status, tx.now()]);
}

const selectServicesSql = statement<Service>(
  'sales.select_services',
  `select ${SERVICE} from app.services s where s.tenant_id = $1 and s.id = any($2::text[])`,
);

export function selectServices(tx: TenantTx, ids: readonly string[]): Promise<Service[]> {
  return tx.rows(selectServicesSql, [tx.tenantId, ids]);
}

const listServicesSql = statement<Service>(
  'sales.list_services',
  `select ${SERVICE} from app.services s
   where s.tenant_id = $1 and ($2::text is null or s.id < $2) order by s.id desc limit $3`,
);
const listPublishedSql = statement<Service>(
  'sales.list_published_services',
  `select ${SERVICE} from app.services s
   where s.tenant_id = $1 and s.status = 'published' and ($2::text is null or s.id < $2) order by s.id desc limit $3`,
);

export function listServices(
  tx: TenantTx,
  page: { drafts: boolean; before: string | undefined; limit: number },
): Promise<Service[]> {
  return tx.rows(page.drafts ? listServicesSql : listPublishedSql, [tx.tenantId, page.before, page.limit]);
}

export interface PriceRow {
  id: string;
  item_kind: ItemKind;
  item_id: string;
  amount: number;
  currency: string;
}

const activePricesSql = statement<PriceRow>(
  'sales.select_active_prices',
  `select p.id, p.item_kind, p.item_id, p.amount, p.currency from app.prices p
   where p.tenant_id = $1 and p.item_kind = $2 and p.item_id = any($3::text[]) and p.active`,
);

export function activePrices(tx: TenantTx, kind: ItemKind, itemIds: readonly string[]): Promise<PriceRow[]> {
  if (itemIds.length === 0) return Promise.resolve([]);
  return tx.rows(activePricesSql, [tx.tenantId, kind, itemIds]);
}

const endPriceSql = statement(
  'sales.end_price',
  `update app.prices p set active = false, ended_at = $4
   where p.tenant_id = $1 and p.item_kind = $2 and p.item_id = $3 and p.active`,
);
const insertPriceSql = statement(
  'sales.insert_price',
  `insert into app.prices (tenant_id, id, item_kind, item_id, amount, currency, active, created_at)
   values ($1, $2, $3, $4, $5, $6, true, $7)`,
);

export async function replacePrice(
  tx: TenantTx,
  row: { kind: ItemKind; itemId: string; price: Money | null },
): Promise<void> {
  const { kind, itemId, price } = row;
  await tx.run(endPriceSql, [tx.tenantId, kind, itemId, tx.now()]);
  if (price === null) return;
  await tx.run(insertPriceSql, [tx.tenantId, tx.newId('prc'), kind, itemId, price.amount, price.currency, tx.now()]);
}

const ORDER = `o.id, o.person_id, o.buyer_email, o.buyer_name, o.status, o.total_amount, o.currency, o.version,
  o.request_id, o.created_at, o.updated_at, o.paid_at, o.canceled_at`;

export interface OrderRow {
  id: string;
  person_id: string;
  buyer_email: string;
  buyer_name: string;
  status: OrderStatus;
  total_amount: number;
  currency: string;
  version: number;
  request_id: string | null;
  created_at: Date;
  updated_at: Date;
  paid_at: Date | null;
  canceled_at: Date | null;
}

const insertOrderSql = statement<OrderRow>(
  'sales.insert_order',
  `insert into app.orders as o
     (tenant_id, id, person_id, buyer_email, buyer_name, status, total_amount, currency, request_id,
      created_at, updated_at)
   values ($1, $2, $3, $4, $5, 'pending', $6, $7, $8, $9, $9) returning ${ORDER}`,
);

export function insertOrder(
  tx: TenantTx,
  row: { personId: string; email: string; name: string; total: Money; requestId: string | undefined },
): Promise<OrderRow> {
  const { personId, email, name, total, requestId } = row;
  const values = [tx.newId('ord'), personId, email, name, total.amount, total.currency, requestId, tx.now()];
  return tx.one(insertOrderSql, [tx.tenantId, ...values]);
}

const selectOrderSql = statement<OrderRow>(
  'sales.select_order',
  `select ${ORDER} from app.orders o where o.tenant_id = $1 and o.id = $2`,
);
const lockOrderSql = statement<OrderRow>(
  'sales.lock_order',
  `select ${ORDER} from app.orders o where o.tenant_id = $1 and o.id = $2 for update`,
);

export function selectOrder(tx: TenantTx, id: string): Promise<OrderRow | undefined> {
  return tx.maybe(selectOrderSql, [tx.tenantId, id]);
}
/** Everything that moves an order or its money holds this lock: one writer per order. */
export function lockOrder(tx: TenantTx, id: string): Promise<OrderRow | undefined> {
  return tx.maybe(lockOrderSql, [tx.tenantId, id]);
}

const updateOrderSql = statement<OrderRow>(
  'sales.update_order_status',
  `update app.orders as o set status = $4, version = o.version + 1, updated_at = $5,
     paid_at = case when $6::boolean then coalesce(o.paid_at, $5) else o.paid_at end,
     canceled_at = case when $7::boolean then coalesce(o.canceled_at, $5) else o.canceled_at end
   where o.tenant_id = $1 and o.id = $2 and o.version = $3 returning ${ORDER}`,
);

/** @returns undefined when the version moved on */
export function updateOrder(
  tx: TenantTx,
  row: { id: string; version: number; status: OrderStatus; paid: boolean; canceled: boolean },
): Promise<OrderRow | undefined> {
  const { id, version, status, paid, canceled } = row;
  return tx.maybe(updateOrderSql, [tx.tenantId, id, version, status, tx.now(), paid, canceled]);
}

const listOrdersSql = statement<OrderRow>(
  'sales.list_orders',
  `select ${ORDER} from app.orders o
   where o.tenant_id = $1 and ($2::text is null or o.id < $2) and ($3::text is null or o.status = $3)
   order by o.id desc limit $4`,
);
const listOwnOrdersSql = statement<OrderRow>(
  'sales.list_orders_of_person',
  `select ${ORDER} from app.orders o
   where o.tenant_id = $1 and o.person_id = $5 and ($2::text is null or o.id < $2) and ($3::text is null or o.status = $3)
   order by o.id desc limit $4`,
);

export function listOrders(
  tx: TenantTx,
  page: { personId: string | undefined; before: string | undefined; status: OrderStatus | undefined; limit: number },
): Promise<OrderRow[]> {
  const { personId, before, status, limit } = page;
  if (personId === undefined) return tx.rows(listOrdersSql, [tx.tenantId, before, status, limit]);
  return tx.rows(listOwnOrdersSql, [tx.tenantId, before, status, limit, personId]);
}

export interface LineRow {
  id: string;
  order_id: string;
  kind: ItemKind;
  item_id: string;
  title: string;
  quantity: number;
  unit_amount: number;
  amount: number;
}

const LINE = 'l.id, l.order_id, l.kind, l.item_id, l.title, l.quantity, l.unit_amount, l.amount';

const insertLineSql = statement<LineRow>(
  'sales.insert_order_line',
  `insert into app.order_lines as l
     (tenant_id, id, order_id, position, kind, item_id, title, price_id, quantity, unit_amount, amount)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning ${LINE}`,
);

export function insertLines(tx: TenantTx, orderId: string, lines: readonly PricedLine[]): Promise<LineRow[]> {
  return Promise.all(
    lines.map((line, index) => {
      const { kind, itemId, title, priceId, quantity, unit, total } = line;
      const what = [kind, itemId, title, priceId, quantity, unit.amount, total.amount];
      return tx.one(insertLineSql, [tx.tenantId, tx.newId('lin'), orderId, index + 1, ...what]);
    }),
  );
}

const selectLinesSql = statement<LineRow>(
  'sales.select_order_lines',
  `select ${LINE} from app.order_lines l
   where l.tenant_id = $1 and l.order_id = any($2::text[]) order by l.order_id, l.position`,
);

export function selectLines(tx: TenantTx, orderIds: readonly string[]): Promise<LineRow[]> {
  return tx.rows(selectLinesSql, [tx.tenantId, orderIds]);
}

const insertFulfilmentSql = statement<{ id: string }>(
  'sales.insert_fulfilment',
  `insert into app.fulfilments (tenant_id, id, order_id, order_line_id, kind, object_id, outcome, created_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8)
   on conflict on constraint fulfilments_once do nothing returning id`,
);

/** @returns whether this call wrote it: an order line is fulfilled once */
export async function insertFulfilment(
  tx: TenantTx,
  row: { orderId: string; lineId: string; kind: ItemKind; objectId: string | null; outcome: Fulfilment['outcome'] },
): Promise<boolean> {
  const { orderId, lineId, kind, objectId, outcome } = row;
  const values = [tx.tenantId, tx.newId('ful'), orderId, lineId, kind, objectId, outcome, tx.now()];
  return (await tx.maybe(insertFulfilmentSql, values)) !== undefined;
}

const otherPaidOrderSql = statement<{ id: string }>(
  'sales.select_other_paid_order',
  `select o.id from app.orders o
   join app.order_lines l on l.tenant_id = o.tenant_id and l.order_id = o.id
   where o.tenant_id = $1 and o.person_id = $3 and o.id <> $2 and o.status in ('paid', 'partially_refunded')
     and l.kind = $4 and l.item_id = $5
   order by o.id limit 1`,
);

/** Another order of that person which pays for the same item. */
export async function otherPaidOrder(
  tx: TenantTx,
  row: { orderId: string; personId: string; kind: ItemKind; itemId: string },
): Promise<string | undefined> {
  const { orderId, personId, kind, itemId } = row;
  return (await tx.maybe(otherPaidOrderSql, [tx.tenantId, orderId, personId, kind, itemId]))?.id;
}

const selectFulfilmentsSql = statement<Fulfilment>(
  'sales.select_fulfilments',
  `select f.id, f.order_id, f.order_line_id, f.kind, f.object_id, f.outcome, f.created_at
   from app.fulfilments f where f.tenant_id = $1 and f.order_id = $2 order by f.id`,
);

export function selectFulfilments(tx: TenantTx, orderId: string): Promise<Fulfilment[]> {
  return tx.rows(selectFulfilmentsSql, [tx.tenantId, orderId]);
}
