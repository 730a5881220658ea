import type Stripe from 'stripe';
import type { EndpointRecord } from '../../records.ts';
import { listPage } from '../list.ts';
import { expand, type Fields, flag, mergeMetadata, metadata, page, text } from '../params.ts';
import { refuse } from '../stripe-error.ts';
import { randomLetters, stripeId } from '../stripe-id.ts';
import { API_VERSION, type World } from '../world.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

const PATH = '/v1/webhook_endpoints';
const eventNames = { type: 'list', of: text({ max: 200 }) } as const;

const createFields: Fields<Stripe.WebhookEndpointCreateParams> = {
  api_version: text({ oneOf: [API_VERSION] }),
  connect: flag,
  description: text({ unset: true }),
  enabled_events: { ...eventNames, required: true },
  expand,
  metadata,
  url: text({ required: true, url: true }),
};
const updateFields: Fields<Stripe.WebhookEndpointUpdateParams> = {
  description: text({ unset: true }),
  disabled: flag,
  enabled_events: eventNames,
  expand,
  metadata,
  url: text({ url: true }),
};

function requireEndpoint(world: World, id: string): EndpointRecord {
  const record = world.store.get('endpoints', id);
  if (!record) throw refuse.noSuch('webhook endpoint', id, 'id');
  return record;
}

/** https://docs.stripe.com/api/webhook_endpoints. The secret is told once, when the endpoint is created. */
export const webhookEndpoints: Endpoint[] = [
  endpoint('POST', PATH, createFields, (world, params) => {
    const secret = `whsec_${randomLetters(32)}`;
    const made = {
      id: stripeId('we'),
      object: 'webhook_endpoint',
      api_version: params.api_version ?? null,
      application: null,
      created: world.clock.unix(),
      description: params.description || null,
      enabled_events: params.enabled_events,
      livemode: false,
      metadata: mergeMetadata({}, params.metadata),
      status: 'enabled',
      url: params.url,
    } as Stripe.WebhookEndpoint;
    world.store.put('endpoints', { id: made.id, endpoint: made, secret });
    return { ...made, secret };
  }),
  endpoint('GET', PATH, page, (world, params) =>
    listPage(
      world.store.all('endpoints').map((record) => record.endpoint),
      params as object,
      { url: PATH, kind: 'webhook endpoint' },
    ),
  ),
  endpoint('GET', `${PATH}/:id`, { expand }, (world, _params, id) => requireEndpoint(world, id).endpoint),
  endpoint('POST', `${PATH}/:id`, updateFields, (world, params, id) => {
    const record = requireEndpoint(world, id);
    const changed = {
      ...record.endpoint,
      description: params.description ?? record.endpoint.description,
      enabled_events: params.enabled_events ?? record.endpoint.enabled_events,
      metadata: mergeMetadata(record.endpoint.metadata, params.metadata),
      status: params.disabled === undefined ? record.endpoint.status : params.disabled ? 'disabled' : 'enabled',
      url: params.url ?? record.endpoint.url,
    };
    return world.store.put('endpoints', { ...record, endpoint: changed }).endpoint;
  }),
  endpoint('DELETE', `${PATH}/:id`, {}, (world, _params, id) => {
    requireEndpoint(world, id);
    world.store.remove('endpoints', id);
    return { id, object: 'webhook_endpoint', deleted: true };
  }),
];
