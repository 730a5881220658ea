import assert from 'node:assert/strict';
import { Agent, get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { type HttpServer, listen } from '#platform/http/index.ts';
import { until } from '../../support/until.ts';

describe('listen', () => {
  let server: HttpServer;
  let waiting: (() => void)[];
  let agent: Agent;
  beforeEach(async () => {
    waiting = [];
    agent = new Agent({ keepAlive: true });
    server = await listen(
      (req, res) => {
        if (req.url === '/slow') waiting.push(() => res.end('slow'));
        else res.end('fast');
      },
      { port: 0, host: '127.0.0.1' },
    );
  });
  afterEach(async () => {
    for (const answer of waiting) answer();
    agent.destroy();
    await server.close(100);
  });

  const request = (path: string) =>
    new Promise<IncomingMessage & { text: string; reused: boolean }>((resolve, reject) => {
      const sent = get({ port: server.port, host: '127.0.0.1', path, agent }, (res) => {
        let text = '';
        res.on('data', (chunk) => {
          text += chunk;
        });
        res.on('end', () => resolve(Object.assign(res, { text, reused: sent.reusedSocket })));
      });
      sent.on('error', reject);
    });

  it('keeps connections alive, longer than a load balancer does', async () => {
    const first = await request('/');
    assert.equal(first.headers['keep-alive'], 'timeout=65');
    assert.equal((await request('/')).reused, true);
  });

  it('asks clients to leave once it drains, and still serves them', async () => {
    await request('/');
    server.drain();
    const last = await request('/');
    assert.equal(last.text, 'fast');
    assert.equal(last.headers.connection, 'close');
    assert.equal((await request('/')).reused, false);
  });

  it('lets a request in flight finish, refuses new connections, and ends when the last is gone', async () => {
    const slow = request('/slow');
    await until(() => waiting.length === 1);
    let closed = false;
    const closing = server.close().then(() => {
      closed = true;
    });
    await assert.rejects(request('/'), { code: 'ECONNREFUSED' });
    assert.equal(closed, false);
    for (const answer of waiting) answer();
    assert.equal((await slow).text, 'slow');
    const answered = performance.now();
    await closing;
    assert.ok(performance.now() - answered < 1_000, 'the connection did not linger');
  });

  it('does not wait for idle connections', async () => {
    const idle = connect(server.port, '127.0.0.1');
    await request('/');
    const ended = new Promise((resolve) => idle.once('close', resolve));
    await server.close();
    await ended;
  });

  it('cuts a request that does not end', async () => {
    const stuck = request('/slow').catch((error: NodeJS.ErrnoException) => error.code);
    await until(() => waiting.length === 1);
    await server.close(50);
    assert.equal(await stuck, 'ECONNRESET');
  });
});
