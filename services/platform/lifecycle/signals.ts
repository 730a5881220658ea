/**
 * One Ctrl-C arrives twice when npm passes on what the terminal already sent to the whole group, and `timeout` does
 * the same: only a signal after this time is a person who does not want to wait.
 */
const SAME_SIGNAL_MS = 1_000;

/** Calls `stop` once for the first signal and exits 0 after it; a later signal ends the process as it stands. */
export function onSignals(stop: (signal: string) => Promise<unknown>): void {
  let first: number | undefined;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (first !== undefined) {
        if (performance.now() - first > SAME_SIGNAL_MS) process.exit(signal === 'SIGINT' ? 130 : 143);
        return;
      }
      first = performance.now();
      stop(signal).then(
        () => process.exit(0),
        () => process.exit(1),
      );
    });
  }
}
