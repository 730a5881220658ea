import type { Clock } from '#platform/clock/index.ts';
import { fixedSecret, generateSecret } from '#platform/config/index.ts';
import { probe } from './http-probe.ts';
import { type KindAdapter, type StepInput, Unproven } from './kind.ts';

/** AUTH_JWT_KEY: our pods sign with it, and everybody who reads the JWKS checks with it. */
export function jwtKeyKind(input: { apiBase: string; issuer: string; clock: Clock }): KindAdapter {
  const { apiBase, issuer, clock } = input;

  /** Whether a token under this key is taken; what comes after the signature is another matter. */
  async function taken({ name, signal }: StepInput, key: string, generation: string): Promise<boolean> {
    // Loaded for a rotation, which is rare: identity is 10 MiB of the 100 that the controller may have.
    const { probeToken } = await import('#domain/identity/index.ts');
    const token = await probeToken({ key: fixedSecret(name, key, 'env', generation), issuer, clock });
    const answer = await probe(`${apiBase}/api/me`, { headers: { authorization: `Bearer ${token}` } }, signal);
    return answer.code !== 'invalid_token';
  }

  async function published(generation: string, signal: AbortSignal): Promise<boolean> {
    const response = await fetch(`${apiBase}/api/auth/jwks`, { signal });
    if (!response.ok) throw new Error(`/api/auth/jwks answers ${response.status}`);
    const { keys } = (await response.json()) as { keys: { kid: string }[] };
    return keys.some(({ kid }) => kid === generation);
  }

  return {
    create: ({ name }) => generateSecret(name),
    async test(at) {
      const generation = at.rotation.to ?? '';
      if (!(await published(generation, at.signal))) throw new Error('the JWKS does not show the new key');
      if (!(await taken(at, at.to ?? '', generation))) throw new Error('a token under the new key is refused');
    },
    async prove(at) {
      if (await taken(at, at.from, at.rotation.from)) throw new Unproven('a token under the old key is taken');
      if (!(await taken(at, at.to ?? '', at.rotation.to ?? '')))
        throw new Unproven('a token under the new key is refused');
      if (await published(at.rotation.from, at.signal)) throw new Unproven('the JWKS shows the old key');
    },
  };
}
