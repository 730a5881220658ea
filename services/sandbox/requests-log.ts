/** A request to the provider, as `GET /sandbox/requests` shows it. The key it came with is not kept. */
export type RecordedRequest = {
  id: string;
  at: string;
  method: string;
  path: string;
  /** Decoded parameters of the body or the query. */
  params: unknown;
  idempotency_key: string | null;
  stripe_version: string | null;
  /** Absent while the request is under way, null when the line was cut on purpose. */
  status?: number | null;
  replayed?: boolean;
  fault?: string;
};

/** The newest requests are kept in memory; more would only slow a bench down. */
const KEPT = 2000;

export type RequestsLog = {
  begin(request: RecordedRequest): RecordedRequest;
  list(filter?: { path?: string; method?: string }): RecordedRequest[];
  clear(): void;
};

export function createRequestsLog(): RequestsLog {
  let requests: RecordedRequest[] = [];
  return {
    begin(request) {
      requests.push(request);
      if (requests.length > KEPT * 2) requests = requests.slice(-KEPT);
      return request;
    },
    list: ({ path, method } = {}) =>
      requests
        .slice(-KEPT)
        .filter((request) => (!path || request.path === path) && (!method || request.method === method)),
    clear() {
      requests = [];
    },
  };
}
