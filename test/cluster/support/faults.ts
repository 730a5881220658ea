import { must } from './command.ts';
import { clusterSettings } from './settings.ts';

/** Makes a fault that Kubernetes itself cannot make: `node-kill n2`, `node-start n2`, `restart apiserver`. */
export async function fault(...args: readonly string[]): Promise<void> {
  const [program = '', ...first] = (clusterSettings().faults ?? '').split(/\s+/).filter(Boolean);
  if (!program) throw new Error('KLAR_TEST_FAULTS is not set');
  await must(program, [...first, ...args], { timeoutMs: 120_000 });
}

/** Begins a test that needs such a fault: without the command it says 'not run', which fails the run. */
export function needsFaults(test: Mocha.Context): void {
  if (clusterSettings().faults) return;
  process.stdout.write(`      not run: ${test.test?.title ?? 'a test'} (KLAR_TEST_FAULTS is not set)\n`);
  test.skip();
}
