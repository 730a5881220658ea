export type LivekitPair = { key: string; secret: string };

const WANTED = 'it is <key>:<secret>, or a secret alone beside LIVEKIT_API_KEY';

/**
 * Key and secret of LIVEKIT_API_SECRET. livekit-server has one secret a key, so a rotation changes both at once and the value
 * is `<key>:<secret>` from then on; whoever signs a token takes both from here, or it would sign for one key with the secret
 * of another.
 * @param apiKey LIVEKIT_API_KEY: the key of a value that does not name its own
 * @throws Error that does not quote the value
 */
export function livekitPair(value: string, apiKey: string | undefined): LivekitPair {
  const cut = value.indexOf(':');
  const key = cut < 0 ? apiKey : value.slice(0, cut);
  const secret = value.slice(cut + 1);
  if (key === undefined) throw new Error(`LIVEKIT_API_SECRET names no key and LIVEKIT_API_KEY is not set: ${WANTED}`);
  // Both are entries of the key file (a YAML map) and the key is the issuer of each token.
  if (!/^[A-Za-z0-9_-]+$/.test(key)) throw new Error(`LIVEKIT_API_SECRET has no key before its colon: ${WANTED}`);
  if (secret === '' || /[\s:]/.test(secret))
    throw new Error(`LIVEKIT_API_SECRET has no secret after its key: ${WANTED}`);
  return { key, secret };
}
