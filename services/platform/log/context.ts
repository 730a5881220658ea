import { AsyncLocalStorage } from 'node:async_hooks';

/** Fields that every line of a request or a job carries, e.g. `request_id`, `tenant_id`. */
export type LogContext = Record<string, unknown>;

const storage = new AsyncLocalStorage<LogContext>();

/** Runs `fn` with these fields on every line logged under it; fields of an outer context stay. */
export function withLogContext<T>(fields: LogContext, fn: () => T): T {
  return storage.run({ ...storage.getStore(), ...fields }, fn);
}

/** Adds to the context that is running, e.g. the tenant once it is known; without a context it does nothing. */
export function addLogContext(fields: LogContext): void {
  const store = storage.getStore();
  if (store) Object.assign(store, fields);
}

export function currentLogContext(): Readonly<LogContext> {
  return storage.getStore() ?? {};
}

/** The id that joins a request with the jobs, mails and audit rows it caused. */
export function currentRequestId(): string | undefined {
  const id = storage.getStore()?.request_id;
  return typeof id === 'string' ? id : undefined;
}
