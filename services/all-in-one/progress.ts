/** Progress of the start, one line per step with its time; on a terminal the running step is shown too. */
export type Progress = {
  step<T>(name: string, work: () => Promise<T>, detail?: (result: T) => string): Promise<T>;
  say(line: string): void;
  elapsedS(): number;
};

/** A step does not begin once `signal` has aborted: Ctrl-C while starting ends the start after the running step. */
export function createProgress(
  out: NodeJS.WriteStream,
  { signal, now = () => performance.now() }: { signal?: AbortSignal; now?: () => number } = {},
): Progress {
  const started = now();
  const live = out.isTTY === true;
  let current: string | undefined;
  const show = () => {
    if (live && current) out.write(`\r\x1b[2K  … ${current}`);
  };
  const line = (text: string) => {
    if (live) out.write('\r\x1b[2K');
    out.write(`${text}\n`);
    show();
  };
  return {
    say: (text) => line(`    ${text}`),
    elapsedS: () => (now() - started) / 1000,
    async step(name, work, detail) {
      signal?.throwIfAborted();
      const from = now();
      current = name;
      show();
      try {
        const result = await work();
        current = undefined;
        const more = detail?.(result);
        line(
          `  ✓ ${`${name}${more ? ` (${more})` : ''}`.padEnd(62)} ${((now() - from) / 1000).toFixed(1).padStart(5)} s`,
        );
        return result;
      } catch (error) {
        current = undefined;
        line(`  ✗ ${name}`);
        throw error;
      }
    },
  };
}
