import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { until } from '../../support/until.ts';
import { type Caller, json, startMiniApp } from './mini-app.ts';

const MOST = 3;
const echo = (text: string) => ({ method: 'POST', headers: json, body: JSON.stringify({ text }) });

describe('an app with more requests than it can work on', () => {
  let app: Caller;
  before(async () => {
    app = await startMiniApp({ mostRequests: MOST });
  });
  after(() => app.close());

  const fill = () => Array.from({ length: MOST }, () => app.call('/api/test/wait'));

  it('refuses those beyond its limit at once, with when to come again, and takes others when there is room', async () => {
    const full = fill();
    const refused = await until(
      async () => {
        const answer = await app.call('/api/test/echo', echo('more'));
        return answer.status === 503 ? answer : undefined;
      },
      { timeoutMs: 150, everyMs: 2, what: 'no place' },
    );
    assert.equal(refused.json.code, 'overloaded');
    assert.equal(refused.headers.get('retry-after'), '2');
    // Each of them was given up after its 200 ms, and its handler never ends.
    assert.deepEqual(
      (await Promise.all(full)).map(({ status }) => status),
      Array(MOST).fill(503),
    );
    for (let turn = 0; turn < 2 * MOST; turn++)
      assert.equal((await app.call('/api/test/echo', echo('room'))).status, 200);
  });

  it('gives the place of a caller who left to the next', async () => {
    const gone = new AbortController();
    const left = Array.from({ length: MOST }, () =>
      app.call('/api/test/wait', { signal: gone.signal }).catch(() => undefined),
    );
    await new Promise((resolve) => setTimeout(resolve, 30));
    gone.abort();
    await Promise.all(left);
    await until(async () => (await app.call('/api/test/echo', echo('next'))).status === 200, {
      timeoutMs: 150,
      everyMs: 5,
      what: 'a place',
    });
  });

  it('keeps nobody out for those who send their bodies slowly', async () => {
    const { port, hostname } = new URL(app.api.url);
    const answers: string[] = [];
    const slow = Array.from({ length: 2 * MOST }, (_, n) => {
      const socket = connect(Number(port), hostname);
      socket
        .on('error', () => {})
        .on('data', (chunk) => {
          answers[n] = (answers[n] ?? '') + chunk;
        });
      socket.write(
        'POST /api/test/echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"te',
      );
      return socket;
    });
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal((await app.call('/api/test/echo', echo('meanwhile'))).status, 200);
    // Two at a time, they are answered, too.
    for (const socket of slow) {
      socket.write('xt":"a"}');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await until(() => answers.filter((answer) => answer.startsWith('HTTP/1.1 200')).length === slow.length, {
      timeoutMs: 2_000,
      everyMs: 10,
      what: 'all answers',
    });
    for (const socket of slow) socket.destroy();
    assert.equal((await app.call('/api/test/echo', echo('afterwards'))).status, 200);
  });
});
