/** Calls `stop` once for the first signal and exits 0 after it; the second signal ends the process as it stands. */
export function onSignals(stop: (signal: string) => Promise<unknown>): void {
  let seen = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (seen) process.exit(signal === 'SIGINT' ? 130 : 143);
      seen = true;
      stop(signal).then(
        () => process.exit(0),
        () => process.exit(1),
      );
    });
  }
}
