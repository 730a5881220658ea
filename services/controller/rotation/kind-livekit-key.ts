import { randomUUID } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { livekitPair } from '#domain/secrets/index.ts';
import { randomToken } from '#platform/crypto/index.ts';
import { type KindAdapter, type StepInput, Unproven } from './kind.ts';

export type LivekitInput = {
  /** LIVEKIT_URL. */
  url: string;
  /** The key file of livekit-server (`--key-file`): a map of key to secret. */
  keyFile: string;
  /** LIVEKIT_API_KEY: the key of a secret that does not name its own. */
  apiKey: () => string | undefined;
};

const ANSWER_MS = 10_000;

/**
 * LIVEKIT_API_SECRET: livekit-server has one secret a key, so a new secret comes with a key of its own, and the value is
 * `<key>:<secret>` from then on: both change at once. The server reads its key file when it starts; the rotation waits until
 * whoever runs it has restarted it.
 */
export function livekitKeyKind({ url, keyFile, apiKey }: LivekitInput): KindAdapter {
  const pairOf = (value: string) => livekitPair(value, apiKey());

  /** Whether the room API takes a token under this key. https://docs.livekit.io/reference/server/server-apis/ */
  async function taken(value: string, signal: AbortSignal): Promise<boolean> {
    const { key, secret } = pairOf(value);
    // Loaded for a rotation, which is rare: it is some MiB of the 100 that the controller may have.
    const { SignJWT } = await import('jose');
    const token = await new SignJWT({ video: { roomList: true } })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer(key)
      .setIssuedAt()
      .setExpirationTime('1m')
      .sign(Buffer.from(secret));
    const address = `${url.replace(/^ws/, 'http')}/twirp/livekit.RoomService/ListRooms`;
    const response = await fetch(address, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: '{}',
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    }).catch((error: Error & { cause?: { code?: string } }) => {
      throw new Error(`livekit-server cannot be reached (${error.cause?.code ?? error.name})`);
    });
    if (response.status === 200) return true;
    if (response.status === 401) return false;
    throw new Error(`livekit-server answers ${response.status}`);
  }

  async function changeKeys(change: (keys: Record<string, string>) => void): Promise<void> {
    const text = await readFile(keyFile, 'utf8');
    const keys = (parse(text) ?? {}) as Record<string, string>;
    const before = JSON.stringify(keys);
    change(keys);
    if (JSON.stringify(keys) === before) return;
    if (Object.keys(keys).length === 0) throw new Error(`${keyFile} would have no key left`);
    const fresh = path.join(path.dirname(keyFile), `.${randomUUID()}`);
    // livekit-server refuses a file that others may read.
    const handle = await open(fresh, 'wx', 0o600);
    try {
      await handle.writeFile(stringify(keys));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(fresh, keyFile);
  }

  const remove = (value: string) => changeKeys((keys) => delete keys[pairOf(value).key]);

  return {
    create: () =>
      `API${randomToken(24)
        .replaceAll(/[^A-Za-z0-9]/g, '')
        .slice(0, 12)}:${randomToken(32)}`,
    async provision({ to = '' }: StepInput) {
      const { key, secret } = pairOf(to);
      await changeKeys((keys) => {
        keys[key] = secret;
      });
      return undefined;
    },
    async test({ to = '', signal }) {
      if (!(await taken(to, signal))) {
        throw new Error('livekit-server does not know the new key: restart it, it reads its key file when it starts');
      }
    },
    retire: ({ from }) => remove(from),
    async prove({ from, to = '', signal }) {
      if (await taken(from, signal)) throw new Unproven('livekit-server takes the old key: restart it');
      if (!(await taken(to, signal))) throw new Unproven('livekit-server refuses the new key');
    },
    withdraw: async ({ to }) => {
      if (to !== undefined) await remove(to);
    },
  };
}
