import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { Writable } from 'node:stream';
import { loadSettings } from '#platform/config/index.ts';
import { statement } from '#platform/db/index.ts';
import { opsDb } from '../../../services/cli/commands/ops-db.ts';
import { runCli } from '../../../services/cli/main.ts';

/** AuthenticationOk and ReadyForQuery. */
const WELCOME = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49]);
/** Names of the statements that a flight of messages asks the server to keep; '' is one that is not kept. */
function* parsed(flight: Buffer): Generator<string> {
  for (let at = 0; at + 5 <= flight.length; at += 1 + flight.readUInt32BE(at + 1)) {
    if (flight[at] === 0x50) yield flight.toString('latin1', at + 5, flight.indexOf(0, at + 5));
  }
}

describe('commands beside a PgBouncer without prepared statements', () => {
  let server: Server;
  let names: string[];
  let stop: AbortController;
  beforeEach(async () => {
    names = [];
    stop = new AbortController();
    server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => {
        socket.write(WELCOME);
        socket.on('data', (flight: Buffer) => {
          names.push(...parsed(flight));
          stop.abort(new Error('seen'));
          socket.destroy();
        });
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => server.close());

  const sink = () => new Writable({ write: (_chunk, _encoding, done) => done() });
  const env = () => ({
    DATABASE_URL: `postgres://klar@127.0.0.1:${(server.address() as AddressInfo).port}/klar`,
    DB_PREPARED: 'off',
  });
  const seen = () => {
    assert.ok(names.length > 0, 'it asked the database');
    assert.deepEqual([...new Set(names)], ['']);
  };

  for (const command of ['tasks list', 'webhooks list', 'cleanup --dry-run', 'cleanup']) {
    it(`klar ${command}`, async () => {
      await runCli({ argv: command.split(' '), env: env(), stdout: sink(), stderr: sink(), signal: stop.signal });
      seen();
    });
  }

  it('what a backup writes down', async () => {
    const db = opsDb(loadSettings('cli', env()));
    await assert.rejects(db.withTx((tx) => tx.run(statement('test.one', 'select $1::int'), [1])));
    await db.close();
    seen();
  });
});
