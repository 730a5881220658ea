import type { createClient } from 'redis';
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
  let client: ReturnType<typeof createClient> | undefined;
  let closed = false;
  let restUntil = 0;
  let away = false;
  const failed = (error: unknown) => {
    restUntil = Date.now() + REST_MS;
    if (!away) log.warn('redis is away: rate limits count per pod', { error });
    away = true;
  };
  const back = () => {
    restUntil = 0;
    if (away) log.info('redis is back');
    away = false;
  };
  const connect = async () => {
    // Loaded with the first link: 700 files and 20 MB that a process without Redis does not need.
    const redis = await import('redis');
    if (closed) return;
    client = redis.createClient({
      url,
      // Commands for a server that is away must fail now, not pile up until it is back.
      disableOfflineQueue: true,
      socket: { connectTimeout: 2_000, reconnectStrategy: (tries) => Math.min(100 * 2 ** Math.min(tries, 6), 5_000) },
    });
    client.on('error', failed);
    client.on('ready', back);
    await client.connect();
  };
  connect().catch(failed);
  return {
    ready: () => client?.isReady === true && Date.now() >= restUntil,
    send: async (args) => {
      if (client === undefined) throw new Error('redis is not connected yet');
      const late = new Promise<never>((_, reject) => {
        setTimeout(() => reject(new Error('redis did not answer in time')), COMMAND_TIMEOUT_MS).unref();
      });
      const reply = await Promise.race([client.sendCommand(args), late]);
      // A server that was only slow keeps its connection, and no event tells that it answers again.
      back();
      return reply as unknown as Reply;
    },
    failed,
    close: () => {
      closed = true;
      client?.destroy();
    },
  };
}
