import { generateSecret } from '#platform/config/index.ts';
import { probe } from './http-probe.ts';
import { type KindAdapter, Unproven } from './kind.ts';

/** ADMIN_TOKEN: checked by our own pods and nobody else. */
export function adminTokenKind(apiBase: string): KindAdapter {
  const ask = (token: string, signal: AbortSignal) =>
    probe(`${apiBase}/api/ops/metrics`, { headers: { authorization: `Bearer ${token}` } }, signal);
  return {
    create: ({ name }) => generateSecret(name),
    async test({ to = '', signal }) {
      const { status, code } = await ask(to, signal);
      if (status !== 200) throw new Error(`the new token is refused (${status} ${code})`);
    },
    async prove({ from, to = '', signal }) {
      const old = await ask(from, signal);
      if (old.status !== 401) throw new Unproven(`the old token is answered with ${old.status}, not 401`);
      // A route that refuses everybody would prove nothing.
      const current = await ask(to, signal);
      if (current.status !== 200) throw new Unproven(`the new token is answered with ${current.status}, not 200`);
    },
  };
}
