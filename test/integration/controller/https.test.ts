import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { silentLogger } from '#platform/log/index.ts';
import { createKubeClient, type KubeClient } from '../../../services/controller/kube/client.ts';
import type { KubeCredentials } from '../../../services/controller/kube/endpoint.ts';
import { createReflector, type Reflector } from '../../../services/controller/kube/reflector.ts';
import { systemTiming } from '../../../services/controller/kube/timing.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';
import { until } from '../../support/until.ts';
import { type FakeKube, type FakeObject, startFakeKube } from './fake-kube.ts';

const MAPS = '/api/v1/namespaces/klar/configmaps';
const openssl = (args: string[]) => promisify(execFile)('openssl', args);

/** Certificates as an API server has them: one authority, and what can be wrong with a leaf of it. */
async function makeCertificates(dir: string) {
  const file = (name: string) => path.join(dir, name);
  for (const ca of ['ca', 'other']) {
    const subject = ['-subj', `/CN=${ca}`, '-keyout', file(`${ca}.key`), '-out', file(`${ca}.crt`)];
    await openssl(['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...subject]);
  }
  const leaf = async (name: string, san: string, days = '2') => {
    await writeFile(file(`${name}.ext`), `subjectAltName=${san}\n`);
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file(`${name}.key`)];
    await openssl(['req', '-new', ...key, '-subj', '/CN=kube-apiserver', '-out', file(`${name}.csr`)]);
    const issuer = ['-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-CAcreateserial'];
    const out = ['-extfile', file(`${name}.ext`), '-days', days, '-out', file(`${name}.crt`)];
    await openssl(['x509', '-req', '-in', file(`${name}.csr`), ...issuer, ...out]);
    return { key: await readFile(file(`${name}.key`)), cert: await readFile(file(`${name}.crt`)) };
  };
  return {
    ca: await readFile(file('ca.crt')),
    other: await readFile(file('other.crt')),
    good: await leaf('good', 'IP:127.0.0.1'),
    named: await leaf('named', 'DNS:kubernetes.default.svc'),
    expired: await leaf('expired', 'IP:127.0.0.1', '-1'),
  };
}

describe('an API server behind TLS that is hostile', () => {
  let dir: string;
  let certificates: Awaited<ReturnType<typeof makeCertificates>>;
  let fake: FakeKube;
  let server: Server;
  let proxy: TcpProxy;
  let credentials: KubeCredentials;
  let client: KubeClient;
  let reflector: Reflector<FakeObject>;
  before(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'klar-tls-'));
    certificates = await makeCertificates(dir);
  });
  after(() => rm(dir, { recursive: true }));
  beforeEach(async () => {
    fake = await startFakeKube();
    // TLS in front of the stand-in; what is inside goes through as it is.
    server = createServer(certificates.good);
    server.removeAllListeners('request');
    server.on('secureConnection', (socket) => {
      const inner = net.connect(Number(new URL(fake.url).port), '127.0.0.1');
      socket.pipe(inner).pipe(socket);
      const end = () => {
        socket.destroy();
        inner.destroy();
      };
      for (const one of [socket, inner]) one.on('error', end).on('close', end);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    proxy = await startTcpProxy((server.address() as net.AddressInfo).port);
    credentials = { ca: certificates.ca };
    client = createKubeClient({
      endpoint: {
        server: `https://127.0.0.1:${proxy.port}`,
        namespace: 'klar',
        credentials: async () => ({ ...credentials, authorization: 'Bearer sesame' }),
      },
      // Credentials are asked for again within the test.
      timing: { ...systemTiming, monotonic: () => systemTiming.monotonic() * 1_000 },
    });
    reflector = createReflector<FakeObject>({
      client,
      path: MAPS,
      timing: systemTiming,
      log: silentLogger(),
      onChange() {},
      limits: { baseMs: 2, maxMs: 20, watchMs: 2_000, graceMs: 500 },
    });
    fake.put(`${MAPS}/a`, { metadata: { name: 'a' }, data: { value: '1' } });
  });
  afterEach(async () => {
    await reflector.stop();
    client.close();
    await proxy.close();
    await new Promise((resolve) => server.close(resolve));
    await fake.close();
  });
  const list = () => client.request({ method: 'GET', path: MAPS });
  const follows = () => until(() => reflector.get('a')?.data?.value === '1', { what: 'the copy' });

  const wrong: [string, () => void, RegExp][] = [
    [
      'whose authority is not ours',
      () => (credentials = { ca: certificates.other }),
      /UNABLE_TO_VERIFY|SELF_SIGNED|DEPTH_ZERO/,
    ],
    ['whose certificate has expired', () => server.setSecureContext(certificates.expired), /CERT_HAS_EXPIRED/],
    [
      'whose certificate names another',
      () => server.setSecureContext(certificates.named),
      /ERR_TLS_CERT_ALTNAME_INVALID/,
    ],
  ];
  for (const [what, breakIt, code] of wrong) {
    it(`${what}: is sent nothing, and followed as soon as that is mended`, async () => {
      breakIt();
      await assert.rejects(list(), (error: { code?: string }) => code.test(error.code ?? ''));
      reflector.start();
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.equal(reflector.synced(), false);
      assert.equal(fake.requests.length, 0, 'neither a request nor a token went over');
      credentials = { ca: certificates.ca };
      server.setSecureContext(certificates.good);
      await follows();
      assert.equal(fake.requests[0]?.who, 'Bearer sesame');
    });
  }

  it('that resets within the handshake: is followed as soon as it does not', async () => {
    let resets = 0;
    proxy.onServerData = () => ++resets > 5;
    reflector.start();
    await follows();
    assert.ok(resets > 5);
  });

  it('that is silent within the handshake: the request ends by its own time', async () => {
    proxy.frozen = true;
    const began = performance.now();
    await assert.rejects(client.request({ method: 'GET', path: MAPS, timeoutMs: 300 }), /no end of GET/);
    assert.ok(performance.now() - began < 2_000);
    proxy.frozen = false;
    reflector.start();
    await follows();
  });

  it('whose authority is replaced: the new one counts without a restart, for connections that are kept too', async () => {
    reflector.start();
    await follows();
    credentials = { ca: certificates.other };
    // They are asked for again after 10 s, here 10 ms.
    await new Promise((resolve) => setTimeout(resolve, 50));
    await assert.rejects(list(), /certificate|signature/);
  });

  it('leaves no socket after 50 refused handshakes', async () => {
    credentials = { ca: certificates.other };
    for (let i = 0; i < 50; i++) await assert.rejects(list());
    const open = () => new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)));
    await until(async () => (await open()) === 0, { what: 'closed sockets' });
  });
});
