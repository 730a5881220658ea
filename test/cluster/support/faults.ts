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
  notRun(test, 'KLAR_TEST_FAULTS is not set');
}

/** Says of a test that it was not run, which fails the run for whoever did not allow it. */
export function notRun(test: Mocha.Context, why: string): never {
  process.stdout.write(`      not run: ${test.test?.title ?? 'a test'} (${why})\n`);
  return test.skip();
}
