import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';

/** What the numbers were made on: without it they cannot be compared. */
export function machine(): string {
  const model = cpus()[0]?.model.trim() || 'unknown processor';
  const memory = Math.round(totalmem() / 1024 ** 3);
  return (
    `${availableParallelism()} cores of ${model}, ${memory} GiB, ${type()} ${release()}, Node ${process.version}; ` +
    `load average ${load()} before`
  );
}

/** How busy others kept the cores. */
export const load = () =>
  loadavg()
    .map((value) => value.toFixed(1))
    .join(' ');
