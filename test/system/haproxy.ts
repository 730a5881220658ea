import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { until } from '../support/until.ts';

/** A backend as the load balancer sees it: where traffic goes, and where it asks for readiness. */
export type Backend = { name: string; port: number; adminPort: number };

/**
 * A real haproxy before the given backends. It asks each one's /readyz five times a second and retries nothing, so that
 * every request a backend drops is seen by the client.
 */
export async function startHaproxy(port: number, backends: readonly Backend[]) {
  const folder = await mkdtemp(path.join(tmpdir(), 'klar-haproxy-'));
  const config = path.join(folder, 'haproxy.cfg');
  await writeFile(
    config,
    [
      'global',
      '  maxconn 2000',
      'defaults',
      '  mode http',
      '  option http-keep-alive',
      '  retries 0',
      '  timeout connect 2s',
      '  timeout client 30s',
      '  timeout server 30s',
      '  timeout http-keep-alive 30s',
      // A busy machine answers a check late; that is not a replica that left.
      '  timeout check 3s',
      'frontend public',
      `  bind 127.0.0.1:${port}`,
      '  default_backend api',
      'backend api',
      '  balance roundrobin',
      '  http-reuse safe',
      '  option httpchk GET /readyz',
      '  http-check expect status 200',
      ...backends.map(
        (backend) =>
          `  server ${backend.name} 127.0.0.1:${backend.port} check port ${backend.adminPort} inter 200ms fall 1 rise 1`,
      ),
      '',
    ].join('\n'),
  );
  execFileSync('haproxy', ['-c', '-q', '-f', config]);
  const child = spawn('haproxy', ['-db', '-f', config], { stdio: 'ignore' });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await until(
    async () => {
      const response = await fetch(`http://127.0.0.1:${port}/api/ready`);
      await response.arrayBuffer();
      return response.status === 200;
    },
    { timeoutMs: 10_000, what: 'haproxy' },
  );
  return {
    async close() {
      child.kill('SIGTERM');
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
