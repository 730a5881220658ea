import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { freePorts } from './process.ts';
import { until } from './until.ts';

/** What becomes of one request: passed on, answered 500, never answered, or cut off after so many bytes of the answer. */
export type Fault = 'pass' | 'fail' | 'stall' | 'refuse' | { cutAfter: number };

export interface S3Gateway {
  /** S3_ENDPOINT, through the proxy that makes the faults. */
  endpoint: string;
  /** Past the proxy. */
  directEndpoint: string;
  accessKeyId: string;
  secretAccessKey: string;
  bucket: string;
  /** What the bucket holds on disk: `<prefix>/<id>/<name>`. */
  folder: string;
  /** Asked for each request; the default passes all on. */
  fault: (request: { method: string; url: string }) => Fault;
  /** Requests seen, `PUT /bucket/key`. */
  seen: string[];
  /** Runs `versitygw admin <words>` against it. */
  admin(words: string[]): Promise<string>;
  close(): Promise<void>;
}

const ROOT = { accessKeyId: 'test-root-key', secretAccessKey: 'test-root-secret' };

/** versitygw, a real S3 gateway over a folder, behind a proxy that misbehaves on command. */
export async function startS3Gateway(): Promise<S3Gateway> {
  const binary = findGateway();
  const home = await mkdtemp(path.join(tmpdir(), 'klar-s3-'));
  for (const name of ['data', 'data/backups', 'iam', 'sidecar']) await mkdir(path.join(home, name));
  const [port = 0] = await freePorts(1);
  const env = { PATH: process.env.PATH, ROOT_ACCESS_KEY: ROOT.accessKeyId, ROOT_SECRET_KEY: ROOT.secretAccessKey };
  const iam = ['--iam-dir', path.join(home, 'iam'), '--iam-cache-disable'];
  const place = ['posix', '--sidecar', path.join(home, 'sidecar'), path.join(home, 'data')];
  const child = spawn(binary, ['--port', `127.0.0.1:${port}`, '--health', '/health', '--quiet', ...iam, ...place], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const directEndpoint = `http://127.0.0.1:${port}`;
  await until(async () => (await fetch(`${directEndpoint}/health`)).ok, {
    timeoutMs: 20_000,
    what: 'the gateway',
  }).catch((error) => {
    child.kill('SIGKILL');
    throw new Error(`the gateway did not start: ${output}`, { cause: error });
  });
  const gateway: S3Gateway = {
    ...ROOT,
    endpoint: '',
    directEndpoint,
    bucket: 'backups',
    folder: path.join(home, 'data/backups'),
    fault: () => 'pass',
    seen: [],
    admin: (words) =>
      run(binary, ['admin', '-er', directEndpoint, '-a', ROOT.accessKeyId, '-s', ROOT.secretAccessKey, ...words]),
    close: async () => {
      proxy.closeAllConnections();
      proxy.close();
      await stop(child);
      await rm(home, { recursive: true, force: true });
    },
  };
  const proxy = await startProxy(port, gateway);
  gateway.endpoint = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  return gateway;
}

/** On PATH, or where `npm run tools` puts it. @throws with the command that installs it */
export function findGateway(): string {
  const folders = [
    process.env.GOBIN,
    path.join(homedir(), 'go/bin'),
    ...(process.env.PATH ?? '').split(path.delimiter),
  ];
  const found = folders.map((folder) => path.join(folder ?? '', 'versitygw')).find((file) => existsSync(file));
  if (found === undefined) throw new Error('versitygw is not installed: npm run tools -- --only versitygw');
  return found;
}

async function startProxy(target: number, gateway: S3Gateway): Promise<http.Server> {
  const server = http.createServer((request, response) => {
    const { method = '', url = '' } = request;
    gateway.seen.push(`${method} ${url}`);
    const fault = gateway.fault({ method, url });
    if (fault === 'stall') return;
    if (fault === 'refuse') {
      request.socket.destroy();
      return;
    }
    if (fault === 'fail') {
      // The whole body is read first, as a server does that fails late.
      request.resume().on('end', () => {
        response.writeHead(500, { 'content-type': 'application/xml' });
        response.end('<?xml version="1.0"?><Error><Code>InternalError</Code><Message>on purpose</Message></Error>');
      });
      return;
    }
    // The Host header is signed, so it is passed on as it came.
    const onward = http.request(
      { host: '127.0.0.1', port: target, method, path: url, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        let left = fault === 'pass' ? Number.POSITIVE_INFINITY : fault.cutAfter;
        answer.on('data', (chunk: Buffer) => {
          response.write(chunk.subarray(0, Math.max(0, left)));
          left -= chunk.length;
          if (left <= 0) setImmediate(() => request.socket.destroy());
        });
        answer.on('end', () => {
          if (left > 0) response.end();
        });
      },
    );
    onward.on('error', () => request.socket.destroy());
    request.on('error', () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

function run(file: string, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
    }
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve(text) : reject(new Error(text))));
  });
}

function stop(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}
