/** Flag evaluations a second of CPU time: ours, flagd's engine and a plain object, in turn within one round. */
import { FlagdCore } from '@openfeature/flagd-core';
import { compileFlags } from '#domain/flags/index.ts';
import { median } from './proc.ts';
import type { Goal, Report } from './report.ts';

const SILENT = { error() {}, warn() {}, info() {}, debug() {} };
const TENANTS = 1_000;
const tenant = (n: number) => `ten_${String(n).padStart(6, '0')}`;

const flag = (targeting?: unknown) => ({
  state: 'ENABLED',
  variants: { on: true, off: false },
  defaultVariant: 'off',
  metadata: { kind: 'release', owner: 'platform', permanent: true, description: 'A flag of the bench.' },
  ...(targeting === undefined ? {} : { targeting }),
});

/** A document whose one flag is on for 1,000 tenants, as the source ConfigMap has it. */
export const tenantsDocument = (on: boolean, tenants = TENANTS): string =>
  JSON.stringify({
    flags: {
      'bench-tenants': flag({
        if: [
          { in: [{ var: 'tenantId' }, Array.from({ length: tenants }, (_, n) => tenant(n))] },
          on ? 'on' : 'off',
          on ? 'off' : 'on',
        ],
      }),
    },
  });

const DOCUMENT = JSON.stringify({
  flags: {
    static: flag(),
    tenants: JSON.parse(tenantsDocument(true)).flags['bench-tenants'],
    share: flag({
      if: [
        { '==': [{ var: 'tenantId' }, tenant(1)] },
        'on',
        { fractional: [{ cat: [{ var: '$flagd.flagKey' }, { var: 'tenantId' }] }, ['on', 20], ['off', 80]] },
      ],
    }),
  },
});

/** CPU time, as neighbours take the cores away; at least `ms` of it. */
function rate(once: (n: number) => unknown, ms: number): number {
  const batch = 2_000;
  let kept: unknown;
  let count = 0;
  const from = process.cpuUsage();
  let spent = 0;
  while (spent < ms * 1_000) {
    for (let n = 0; n < batch; n++) kept = once(n);
    count += batch;
    const { user, system } = process.cpuUsage(from);
    spent = user + system;
  }
  // Whatever is never looked at may be optimised away.
  if (kept === rate) throw new Error('never');
  return (count / spent) * 1e6;
}

const millions = (value: number) => `${(value / 1e6).toFixed(value < 1e6 ? 2 : 1)} M/s`;

export function benchFlags(report: Report, short: boolean): Goal[] {
  const compiled = compileFlags(DOCUMENT, {});
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
  const core = new FlagdCore(undefined, SILENT);
  core.setConfigurations(DOCUMENT);
  const contexts = Array.from({ length: 2 * TENANTS }, (_, n) => ({ tenantId: tenant(n), personId: `per_${n}` }));
  const plain: Record<string, { value: boolean }> = {
    static: { value: false },
    tenants: { value: true },
    share: { value: true },
  };
  const ours = (key: string) => {
    const { flags } = compiled.set;
    return (n: number) => flags.get(key)?.evaluate(contexts[n] as (typeof contexts)[0]).value;
  };
  const flagd = (key: string) => (n: number) =>
    core.resolveBooleanEvaluation(key, false, contexts[n] as (typeof contexts)[0], SILENT).value;
  const keys = Object.keys(plain);
  const contenders: Record<string, (n: number) => unknown> = {
    'object lookup': (n) => plain[keys[n % 3] as string]?.value,
  };
  for (const key of keys) {
    contenders[`${key}, here`] = ours(key);
    contenders[`${key}, flagd-core`] = flagd(key);
    for (const n of [0, 999, 1_000, 1_999]) {
      const [mine, theirs] = [ours(key)(n), flagd(key)(n)];
      if (mine !== theirs) throw new Error(`${key} for ${tenant(n)}: ${mine} here, ${theirs} by flagd-core`);
    }
  }
  const rates: Record<string, number[]> = {};
  for (let round = 0; round <= (short ? 3 : 7); round++) {
    for (const [name, once] of Object.entries(contenders)) {
      const found = rate(once, short ? 100 : 300);
      // The first one also compiles.
      if (round > 0) rates[name] = [...(rates[name] ?? []), found];
    }
  }
  const of = (name: string) => median(rates[name] ?? []);
  report.line(
    `flag evaluations a second of CPU time, ${2 * TENANTS} tenants in turn, median of ${short ? 3 : 7} rounds:`,
  );
  for (const key of keys) {
    const times = of(`${key}, here`) / of(`${key}, flagd-core`);
    report.line(
      `  ${key.padEnd(8)} here ${millions(of(`${key}, here`)).padStart(9)}   flagd-core ${millions(of(`${key}, flagd-core`)).padStart(9)}   ${times.toFixed(1)}x`,
    );
  }
  report.line(`  object lookup ${millions(of('object lookup'))}`);
  const goal = (name: string, key: string, least: number): Goal => ({
    name,
    met: of(`${key}, here`) >= least,
    shown: millions(of(`${key}, here`)),
  });
  return [
    goal('flags: static >= 4 M/s', 'static', 4e6),
    goal('flags: in a list of 1,000 tenants >= 1 M/s', 'tenants', 1e6),
    goal('flags: a share by hash >= 1 M/s', 'share', 1e6),
  ];
}
