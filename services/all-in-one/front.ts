import type { IncomingMessage, ServerResponse } from 'node:http';

export type Listener = (request: IncomingMessage, response: ServerResponse) => void;

/**
 * The ingress of a laptop: webhook paths go to the ingest and everything else to the api, on one port,
 * as the routes of the chart's ingress say.
 */
export function createFront(ingest: Listener & { handles(path: string): boolean }, api: Listener): Listener {
  return (request, response) => {
    const url = request.url ?? '/';
    const query = url.indexOf('?');
    const part = ingest.handles(query < 0 ? url : url.slice(0, query)) ? ingest : api;
    part(request, response);
  };
}
