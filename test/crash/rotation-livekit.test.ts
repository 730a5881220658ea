import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { SignJWT } from 'jose';
import { freePorts } from '../support/process.ts';
import { killEverywhere } from '../support/rotation/kill.ts';
import { openStage, type Stage, startClient } from '../support/rotation/stage.ts';
import { until } from '../support/until.ts';

const OLD = 'a-secret-of-a-test-that-is-long-enough-for-it';

async function listRooms(url: string, value: string): Promise<number> {
  const [key = '', secret = ''] = value.includes(':') ? value.split(':') : ['APIold', value];
  const token = await new SignJWT({ video: { roomList: true } })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(key)
    .setExpirationTime('1m')
    .sign(Buffer.from(secret));
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const response = await fetch(`${url}/twirp/livekit.RoomService/ListRooms`, { method: 'POST', headers, body: '{}' });
  return response.status;
}

/** A real livekit-server that is restarted when its key file changes, as a Deployment with a checksum annotation is. */
async function startLivekit(keyFile: string, port: number, rtcPort: number, udpPort: number) {
  let child: ChildProcess | undefined;
  let keys = '';
  const config = `port: ${port}\nbind_addresses: ["127.0.0.1"]\nrtc:\n  tcp_port: ${rtcPort}\n  udp_port: ${udpPort}\n  use_external_ip: false\n`;
  const program = path.join(homedir(), 'go/bin/livekit-server');
  const stop = async () => {
    const old = child;
    if (!old) return;
    const gone = new Promise((resolve) => old.once('exit', resolve));
    old.kill('SIGKILL');
    await gone;
  };
  const look = async () => {
    const now = await readFile(keyFile, 'utf8');
    if (now === keys) return;
    keys = now;
    await stop();
    child = spawn(program, ['--config-body', config, '--key-file', keyFile], { stdio: 'ignore' });
  };
  await look();
  let looking = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(look, look);
  }, 100);
  return async () => {
    clearInterval(timer);
    await looking.catch(() => {});
    await stop();
  };
}

describe('a reconciler killed with kill -9 at every step, beside a real livekit-server', function () {
  this.timeout(600_000);
  let stage: Stage;
  let folder: string;
  let stopLivekit: () => Promise<void>;
  after(async () => {
    await stage?.close();
    await stopLivekit?.();
    await rm(folder, { recursive: true, force: true });
  });

  it('rotates LIVEKIT_API_SECRET: the room API refuses no call, and the old key is dead', async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'klar-livekit-'));
    const keyFile = path.join(folder, 'keys.yaml');
    await writeFile(keyFile, `APIold: ${OLD}\n`, { mode: 0o600 });
    const [port = 0, rtc = 0, udp = 0] = await freePorts(3);
    stopLivekit = await startLivekit(keyFile, port, rtc, udp);
    const url = `http://127.0.0.1:${port}`;
    await until(async () => (await listRooms(url, OLD)) === 200, { timeoutMs: 30_000, what: 'livekit-server' });
    stage = await openStage({
      secrets: ['LIVEKIT_API_SECRET'],
      values: () => ({ LIVEKIT_API_SECRET: OLD }),
      env: () => ({ LIVEKIT: JSON.stringify({ url, keyFile }) }),
      apiCount: 1,
    });
    const client = startClient(async () => {
      const status = await listRooms(url, await stage.current('LIVEKIT_API_SECRET')).catch(() => 0);
      return status === 200 || status === 0 ? undefined : String(status);
    });
    await killEverywhere(stage, 'LIVEKIT_API_SECRET');
    const { asked, refused } = await client.stop();
    assert.deepEqual(refused, []);
    assert.ok(asked > 100);
    assert.equal(await listRooms(url, OLD), 401);
    assert.equal(await listRooms(url, await stage.current('LIVEKIT_API_SECRET')), 200);
  });
});
