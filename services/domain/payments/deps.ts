import type { Db, TenantTx } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import type { Gateway } from './gateway.ts';
import { INCIDENT_KINDS } from './store/incidents.ts';

/** What the module needs from its process: the api's pool there, the worker's here. */
export interface PaymentsDeps {
  db: Db;
  gateway: Gateway;
  log: Logger;
  metrics: Metrics;
  /** Where browsers come back to. */
  publicBaseUrl: string;
  /** How long a request waits for another one's provider call about the same order. Default 5000. */
  waitMs?: number | undefined;
}

export interface PaymentCounters {
  session(outcome: string): void;
  settled(status: string): void;
  incident(kind: string): void;
  refund(outcome: string): void;
}

/** Everything the module's services share; made once per process by `createPayments`. */
export interface Context extends PaymentsDeps {
  count: PaymentCounters;
  /** A transaction to write down what the provider did. Not tied to a request: a client that went away undoes nothing. */
  inTenant<T>(tenantId: string, fn: (tx: TenantTx) => Promise<T>): Promise<T>;
}

export function createContext(deps: PaymentsDeps): Context {
  const { metrics, db } = deps;
  const sessions = metrics.counter('klar_payments_sessions_total', 'Requests for a payment session, by outcome', [
    'outcome',
  ]);
  const settled = metrics.counter('klar_payments_settled_total', 'Payments that changed state, by the new state', [
    'state',
  ]);
  const incidents = metrics.counter('klar_payments_incidents_total', 'Facts that a person must look at', ['kind']);
  // A series that begins at 1 has no increase for an alert to see.
  for (const kind of INCIDENT_KINDS) incidents.inc({ kind }, 0);
  const refunds = metrics.counter('klar_payments_refunds_total', 'Refunds by outcome', ['outcome']);
  return {
    ...deps,
    publicBaseUrl: deps.publicBaseUrl.replace(/\/+$/, ''),
    inTenant: (tenantId, fn) => db.withTenantTx(tenantId, fn),
    count: {
      session: (outcome) => sessions.inc({ outcome }),
      settled: (state) => settled.inc({ state }),
      incident: (kind) => incidents.inc({ kind }),
      refund: (outcome) => refunds.inc({ outcome }),
    },
  };
}
