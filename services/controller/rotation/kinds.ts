import type { Kind } from '#domain/secrets/index.ts';
import type { Clock } from '#platform/clock/index.ts';
import type { KindAdapter } from './kind.ts';
import { adminTokenKind } from './kind-admin-token.ts';
import { jwtKeyKind } from './kind-jwt-key.ts';
import { pepperKind } from './kind-pepper.ts';
import { postgresKind } from './kind-postgres.ts';

/** What this installation can rotate. A kind whose provider is not set up is missing, and is said to be. */
export function createKinds(input: {
  /** Where our own public interface is reached, to use values as clients do. */
  apiBase: string;
  issuer: string;
  clock: Clock;
}): Readonly<Record<Kind, KindAdapter | undefined>> {
  return {
    'admin-token': adminTokenKind(input.apiBase),
    'jwt-key': jwtKeyKind(input),
    'api-key-pepper': pepperKind,
    'postgres-login': postgresKind,
    'stripe-webhook': undefined,
    'livekit-key': undefined,
    manual: undefined,
  };
}
