import { deepEqual, equal, ok } from 'node:assert/strict';
import { makeSecret } from '../../../services/platform/config/secret.ts';

describe('uses of a secret', () => {
  const value = (generation: string) => ({ value: `value of ${generation}`, generation });

  it('are counted for each accepted generation, and no other', () => {
    const { secret, replace } = makeSecret('ADMIN_TOKEN', 'file', [value('a'), value('b')]);
    secret.used('b');
    secret.used('b');
    secret.used('c');
    deepEqual(
      secret.uses().map(({ generation, uses }) => [generation, uses]),
      [
        ['a', 0],
        ['b', 2],
      ],
    );
    replace([value('a'), value('c')]);
    equal(secret.uses()[1]?.uses, 0, 'used before it was accepted');
  });

  it('make the one in use never idle, and the one before it idle from its demotion on, not from the start', async () => {
    const { secret, replace } = makeSecret('ADMIN_TOKEN', 'file', [value('a'), value('b')]);
    await new Promise((resolve) => setTimeout(resolve, 60));
    ok((secret.uses()[1]?.idleS ?? 0) >= 0.05);
    replace([value('b'), value('a')]);
    const [now, before] = secret.uses();
    equal(now?.idleS, 0);
    ok((before?.idleS ?? 1) < 0.05, 'what was handed out under it may just be on its way');
  });

  it('are forgotten with the generation', () => {
    const { secret, replace } = makeSecret('ADMIN_TOKEN', 'file', [value('a'), value('b')]);
    secret.used('b');
    replace([value('a')]);
    replace([value('a'), value('b')]);
    equal(secret.uses()[1]?.uses, 0);
  });
});
