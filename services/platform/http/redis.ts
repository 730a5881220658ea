import { createClient } from 'redis';
import type { Logger } from '#platform/log/index.ts';

/** A request must not wait for a count: beyond this Redis counts as away. */
const COMMAND_TIMEOUT_MS = 150;
/** How long a Redis that failed is left alone. */
const REST_MS = 5_000;

type Reply = boolean | number | string | (boolean | number | string)[];

/** Redis as a convenience: it may be away at any time and holds nothing that cannot be lost. */
export interface RedisLink {
  ready(): boolean;
  send(args: string[]): Promise<Reply>;
  failed(error: unknown): void;
  close(): void;
}

/** Connects in the background and for ever; never throws because Redis is away. */
export function connectRedis(url: string, log: Logger): RedisLink {
  const client = createClient({
    url,
    // Commands for a server that is away must fail now, not pile up until it is back.
    disableOfflineQueue: true,
    socket: { connectTimeout: 2_000, reconnectStrategy: (tries) => Math.min(100 * 2 ** Math.min(tries, 6), 5_000) },
  });
  let restUntil = 0;
  let away = false;
  const failed = (error: unknown) => {
    restUntil = Date.now() + REST_MS;
    if (!away) log.warn('redis is away: rate limits count per pod', { error });
    away = true;
  };
  client.on('error', failed);
  client.on('ready', () => {
    restUntil = 0;
    if (away) log.info('redis is back');
    away = false;
  });
  client.connect().catch(failed);
  return {
    ready: () => client.isReady && Date.now() >= restUntil,
    send: async (args) => {
      const late = new Promise<never>((_, reject) => {
        setTimeout(() => reject(new Error('redis did not answer in time')), COMMAND_TIMEOUT_MS).unref();
      });
      return (await Promise.race([client.sendCommand(args), late])) as unknown as Reply;
    },
    failed,
    close: () => client.destroy(),
  };
}
