import { fail } from '#platform/errors/index.ts';
import type { PersonPrincipal } from './access-token.ts';
import { withPassword } from './credentials.ts';
import { byPerson, type Kernel } from './kernel.ts';
import { spentHash } from './login.ts';
import * as people from './store/people.ts';

export interface SecondFactorSetup {
  /** `otpauth://...` for the authenticator; the secret is in it. Shown once. */
  totpUri: string;
  backupCodes: string[];
}

const note = (action: 'second_factor.enable' | 'second_factor.disable' | 'second_factor.renew_codes', id: string) => ({
  audit: { action, actor: byPerson(id), object: { type: 'person', id } },
});

/** Begins: a secret and backup codes. Nothing asks for a code until `confirm` showed that the authenticator works. */
export async function enable(kernel: Kernel, principal: PersonPrincipal, password: string): Promise<SecondFactorSetup> {
  return withPassword(kernel, principal, {
    call: (api, headers) => api.enableTwoFactor({ body: { password, method: 'totp' }, headers }),
    after: async (_tx, value) => {
      if (value.method !== 'totp') throw new Error('better-auth answered another method');
      return { totpUri: value.totpURI, backupCodes: value.backupCodes };
    },
  });
}

/** Switches the second factor on with a first code. */
export async function confirm(kernel: Kernel, principal: PersonPrincipal, codeInput: string): Promise<void> {
  const code = codeInput.replace(/\s/g, '');
  const { personId } = principal;
  const [engine] = await kernel.engines();
  const result = await kernel.db.withTx(async (tx) => {
    await people.lock(tx, personId);
    if ((await people.secondFactorState(tx, personId)) !== 'pending') return 'not_pending' as const;
    const outcome = await engine.callAs(tx, personId, (api, headers) => api.verifyTOTP({ body: { code }, headers }));
    if (!outcome.ok) return 'wrong' as const;
    await people.spend(tx, personId, spentHash(personId, code));
    await kernel.outbox.emit(tx, note('second_factor.enable', personId));
    return 'done' as const;
  });
  if (result === 'not_pending') throw fail.conflict('second_factor_not_pending', 'Ask for a new second factor first.');
  if (result === 'wrong') throw fail.unprocessable('wrong_code', 'The code is wrong; check the clock of the device.');
}

export async function disable(kernel: Kernel, principal: PersonPrincipal, password: string): Promise<void> {
  await withPassword(kernel, principal, {
    call: (api, headers) => api.disableTwoFactor({ body: { password }, headers }),
    after: (tx) => kernel.outbox.emit(tx, note('second_factor.disable', principal.personId)),
  });
}

/** New backup codes; the old ones stop working. */
export async function renewBackupCodes(
  kernel: Kernel,
  principal: PersonPrincipal,
  password: string,
): Promise<string[]> {
  return withPassword(kernel, principal, {
    call: (api, headers) => api.generateBackupCodes({ body: { password }, headers }),
    after: async (tx, value) => {
      await kernel.outbox.emit(tx, note('second_factor.renew_codes', principal.personId));
      return value.backupCodes;
    },
  });
}
