/** A document with something of everything, as the base of mutations and comparisons. */
export function sample() {
  const metadata = (over: object = {}) => ({
    owner: 'learning',
    description: 'A test.',
    kind: 'release',
    expires: '2027-01-31',
    ...over,
  });
  const onOff = { on: true, off: false };
  return {
    flags: {
      'checkout-enabled': {
        state: 'ENABLED',
        variants: onOff,
        defaultVariant: 'on',
        metadata: metadata({ kind: 'kill-switch', expires: undefined, permanent: true }),
      },
      'webhook-handling-enabled': {
        state: 'ENABLED',
        variants: onOff,
        defaultVariant: 'on',
        metadata: metadata({ kind: 'kill-switch', expires: undefined, permanent: true }),
      },
      'new-player': {
        state: 'ENABLED',
        variants: onOff,
        defaultVariant: 'off',
        targeting: {
          if: [
            { in: [{ var: 'tenantId' }, ['ten_a', 'ten_b']] },
            'on',
            {
              and: [
                { starts_with: [{ var: 'personId' }, 'per_1'] },
                { '!': [{ '==': [{ var: 'tenantId' }, 'ten_c'] }] },
              ],
            },
            { fractional: [{ var: 'personId' }, ['on', 25], ['off', 75]] },
          ],
        },
        metadata: metadata(),
      },
      'page-size': {
        state: 'ENABLED',
        variants: { small: 20, large: 100 },
        defaultVariant: 'small',
        targeting: {
          fractional: [
            ['small', 90],
            ['large', 10],
          ],
        },
        metadata: metadata({ kind: 'experiment' }),
      },
    } as Record<string, Record<string, unknown>>,
  };
}

export const json = (value: unknown) => JSON.stringify(value, null, 2);
