import process from 'node:process';
import { authorize, createTenancy } from '#domain/tenancy/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { fixedSecret } from '#platform/config/index.ts';
import { createDb } from '#platform/db/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { TEST_PEPPER } from '../../support/factory.ts';

/** A second process that uses a key whenever it is asked to, and says how that went. */
const [url = '', key = ''] = process.argv.slice(2);
const db = createDb({ url, role: 'klar_api', poolSize: 2 });
const tenancy = createTenancy({
  db,
  pepper: fixedSecret('API_SECRET_SALT', TEST_PEPPER),
  clock: systemClock,
  log: silentLogger(),
});

async function use(): Promise<string> {
  const principal = await tenancy.authenticateApiKey(key);
  if (principal === undefined) return 'unknown_key';
  try {
    await db.withTenantTx(principal.tenantId, (tx) => authorize(tx, principal, 'tenant.read', 'read'));
    return 'allowed';
  } catch (error) {
    return error instanceof KlarError ? error.code : String(error);
  }
}

process.on('message', async () => process.send?.(await use()));
process.on('disconnect', () => void db.close());
