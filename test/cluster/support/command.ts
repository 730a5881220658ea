import { spawn } from 'node:child_process';

/** How a command ended, and what it printed. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Written to its standard input. */
  input?: string;
  /** Killed after this time; default 5 minutes. */
  timeoutMs?: number;
  env?: Record<string, string>;
}

/** Runs a program to its end and reports how it ended; never throws for an exit code. */
export function run(program: string, args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      timeout: options.timeoutMs ?? 300_000,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve({ code: code ?? 137, stdout, stderr: signal ? `${stderr}\n(ended by ${signal})` : stderr });
    });
    child.stdin.on('error', () => {}); // a program that ends without reading its input
    child.stdin.end(options.input ?? '');
  });
}

/** As `run`, failing with everything that was printed unless the program ended with 0; gives its output. */
export async function must(program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const ended = await run(program, args, options);
  if (ended.code === 0) return ended.stdout;
  throw new Error(
    `${program} ${args.join(' ')}: exit ${ended.code}\n${ended.stderr.slice(-4_000)}${ended.stdout.slice(-2_000)}`,
  );
}
