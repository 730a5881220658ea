/**
 * Named points at which a crash test kills the process, as a power cut would: no handler, no flush, no rollback.
 * Armed by KLAR_FAILPOINT only; the settings refuse it in production.
 */

let armed: { name: string; hits: number } | undefined;

/**
 * Arms one fail point.
 * @param spec `<name>` or `<name>:<n>`: die at the n-th time it is reached, from 1. Empty or undefined: none.
 * @throws TypeError when the count is not a positive integer: a test that never dies would prove nothing
 */
export function armFailpoint(spec: string | undefined): void {
  armed = undefined;
  if (spec === undefined || spec === '') return;
  const [name = '', count = '1'] = spec.split(':');
  if (name === '' || !/^[1-9]\d{0,8}$/.test(count)) throw new TypeError(`fail point must be <name>[:<n>], not ${spec}`);
  armed = { name, hits: Number(count) };
}

/** Kills this process with SIGKILL when this point is armed and reached often enough. Free otherwise. */
export function failpoint(name: string): void {
  if (armed === undefined || armed.name !== name) return;
  armed.hits -= 1;
  if (armed.hits === 0) process.kill(process.pid, 'SIGKILL');
}
