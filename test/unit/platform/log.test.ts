import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import {
  addLogContext,
  createLogger,
  currentRequestId,
  type LoggedError,
  type LogLevel,
  onLoggedError,
  withLogContext,
} from '#platform/log/index.ts';

function capture(level: LogLevel = 'info') {
  const lines: Record<string, unknown>[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      for (const line of chunk.toString().trim().split('\n')) lines.push(JSON.parse(line));
      done();
    },
  });
  return { lines, log: createLogger({ process: 'api', level, stream, redact: () => ['the-known-secret'] }) };
}

describe('log', () => {
  it('writes one JSON object a line, with time, level, message, process and fields', () => {
    const { lines, log } = capture();
    log.info('hello\nworld', { order_id: 'ord_1' });
    assert.equal(lines.length, 1);
    const [{ time, ...rest } = { time: '' }] = lines;
    assert.match(String(time), /^\d{4}-\d\d-\d\dT.*Z$/);
    assert.deepEqual(rest, { level: 'info', msg: 'hello\nworld', process: 'api', order_id: 'ord_1' });
  });

  it('leaves out what is below its level', () => {
    const { lines, log } = capture('warn');
    log.debug('a');
    log.info('b');
    log.warn('c');
    log.error('d');
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ['c', 'd'],
    );
  });

  it('carries the context of a request through awaits, and never into another one', async () => {
    const { lines, log } = capture();
    await Promise.all(
      ['one', 'two', 'three'].map((id) =>
        withLogContext({ request_id: id }, async () => {
          await new Promise((resolve) => setTimeout(resolve, id.length));
          addLogContext({ tenant_id: `ten_${id}` });
          await new Promise((resolve) => setImmediate(resolve));
          assert.equal(currentRequestId(), id);
          log.info(id);
        }),
      ),
    );
    for (const line of lines) {
      assert.equal(line.request_id, line.msg);
      assert.equal(line.tenant_id, `ten_${line.msg}`);
    }
    addLogContext({ leaked: true });
    log.info('outside');
    assert.deepEqual(
      [lines.at(-1)?.request_id, lines.at(-1)?.leaked, currentRequestId()],
      [undefined, undefined, undefined],
    );
  });

  it('keeps the outer context in an inner one', () => {
    const { lines, log } = capture();
    withLogContext({ request_id: 'r' }, () =>
      withLogContext({ job_id: 'j' }, () => log.child({ queue: 'q' }).info('x')),
    );
    const { request_id, job_id, queue } = lines[0] ?? {};
    assert.deepEqual([request_id, job_id, queue], ['r', 'j', 'q']);
  });

  it('redacts message, fields, children and context', () => {
    const { lines, log } = capture();
    withLogContext({ token: 'a' }, () =>
      log.child({ password: 'b' }).error('the-known-secret', { error: new Error('the-known-secret') }),
    );
    assert.ok(!JSON.stringify(lines).includes('the-known-secret'));
    assert.deepEqual([lines[0]?.token, lines[0]?.password], ['[redacted]', '[redacted]']);
  });

  it('still writes the line when a field cannot be read', () => {
    const { lines, log } = capture();
    log.info('kept', {
      get broken() {
        throw new Error('x');
      },
    });
    log.info('kept too', { a: Object.defineProperty({}, 'b', { enumerable: true, get: () => assert.fail() }) });
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ['kept', 'kept too'],
    );
  });

  it('cannot have its own fields forged by a field of the same name', () => {
    const { lines, log } = capture();
    log.info('real', { msg: 'forged', level: 'error', time: 'never' });
    assert.equal(lines[0]?.msg, 'real');
    assert.equal(lines[0]?.level, 'info');
    assert.notEqual(lines[0]?.time, 'never');
  });

  it('tells error lines, redacted, to whoever reports them, and survives a reporter that throws', () => {
    const { lines, log } = capture();
    const heard: LoggedError[] = [];
    const forget = [
      onLoggedError(() => {
        throw new Error('reporter');
      }),
      onLoggedError((logged) => heard.push(logged)),
    ];
    log.warn('not this');
    log.error('this', { error: new Error('the-known-secret'), order_id: 'ord_1' });
    for (const stop of forget) stop();
    log.error('not any more');
    assert.equal(heard.length, 1);
    assert.deepEqual(
      [heard[0]?.msg, heard[0]?.error?.message, heard[0]?.fields.order_id],
      ['this', '[redacted]', 'ord_1'],
    );
    assert.equal(lines.length, 3);
  });
});
