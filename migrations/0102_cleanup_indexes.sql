-- no transaction
-- What the cleanup asks for, so that it reads what is over and not what there is.
create index concurrently if not exists events_with_payload on inbox.events (received_at)
  where raw_dropped_at is null and state in ('done', 'ignored', 'unmatched');
-- next statement
create index concurrently if not exists events_without_payload on inbox.events (received_at)
  where raw_dropped_at is not null;
-- next statement
create index concurrently if not exists notification_deliveries_settled
  on app.notification_deliveries (tenant_id, updated_at)
  where state in ('sent', 'dead') and to_email <> 'erased@invalid';
