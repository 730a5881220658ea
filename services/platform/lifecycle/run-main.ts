import { ConfigError } from '#platform/config/index.ts';
import { onSignals } from './signals.ts';

/** EX_CONFIG of sysexits.h. */
const EXIT_CONFIG = 78;

type Startable = { stop(reason?: string): Promise<void> };

/**
 * What a `main.ts` does when it is run: start, stop on a signal, and say plainly why it could not start.
 * `start` may look at the signal between its steps, to give up early and clean up. Wrong settings exit 78 with every problem listed; anything else exits 1.
 */
export async function runMain(start: (signal: AbortSignal) => Promise<Startable>): Promise<void> {
  let running: Startable | undefined;
  const interrupted = new AbortController();
  let starting: Promise<unknown> = Promise.resolve();
  onSignals(async (signal) => {
    interrupted.abort(new Error(`stopped by ${signal} while starting`));
    // A start that is under way owns processes and locks: it is let come to its end, and then undone.
    await starting.catch(() => {});
    await running?.stop(signal);
  });
  const crash = (error: unknown) => {
    process.stderr.write(`${explain(error)}\n`);
    const end = () => process.exit(1);
    // A process in an unknown state must not hang about: what it holds is released by leases and by PostgreSQL.
    setTimeout(end, 10_000).unref();
    (running?.stop('crash') ?? Promise.resolve()).then(end, end);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  try {
    const begun = start(interrupted.signal);
    starting = begun;
    running = await begun;
  } catch (error) {
    if (interrupted.signal.aborted) process.exit(0);
    process.stderr.write(`${explain(error)}\n`);
    process.exit(error instanceof ConfigError ? EXIT_CONFIG : 1);
  }
}

/** What a person at the terminal needs: the way out where we know one, the stack only where we do not. */
function explain(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  if (!(error instanceof Error)) return String(error);
  const { code, port, remedy } = error as NodeJS.ErrnoException & { port?: number; remedy?: string };
  if (code === 'EADDRINUSE') {
    return `Port ${port} is taken by another program. Stop it, or choose another with PORT, INGEST_PORT or ADMIN_PORT.`;
  }
  if (code === 'ENOSPC') return 'The disk is full. Free some space and start again; nothing committed is lost.';
  if (remedy) return `${error.message}\n${remedy}`;
  return error.stack ?? error.message;
}
