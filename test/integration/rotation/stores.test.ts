import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { digestGeneration, ensureSecret, generateSecret, loadSettings } from '#platform/config/index.ts';
import { createKubeClient } from '../../../services/controller/kube/client.ts';
import { createFolderStore } from '../../../services/controller/rotation/folder-store.ts';
import { createKubeStore } from '../../../services/controller/rotation/kube-store.ts';
import { SecretConflict, type SecretStore } from '../../../services/controller/rotation/secret-store.ts';
import { until } from '../../support/until.ts';

type Secret = { metadata: Record<string, unknown>; data: Record<string, string | null> };
const base64 = (text: string) => Buffer.from(text).toString('base64');

/** One Secret behind GET and merge-patch, as RFC 7386 and the API server's check of the version have it. */
async function startSecretServer(data: Record<string, string>) {
  const secret: Secret = { metadata: { name: 'klar', resourceVersion: '1' }, data };
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    if (request.method === 'PATCH') {
      const body = JSON.parse(text) as Secret;
      const conflict = body.metadata.resourceVersion !== secret.metadata.resourceVersion;
      if (conflict) return void response.writeHead(409).end('{"reason":"Conflict"}');
      for (const [key, value] of Object.entries(body.data)) {
        if (value === null) delete secret.data[key];
        else secret.data[key] = value;
      }
      secret.metadata.resourceVersion = String(Number(secret.metadata.resourceVersion) + 1);
    }
    response.writeHead(200).end(JSON.stringify(secret));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { secret, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

const { signal } = new AbortController();
const kept = (value: string) => ({ value, generation: digestGeneration('ADMIN_TOKEN', value) });

function contract(open: () => Promise<SecretStore>): void {
  it('keeps all places of a secret at once, and gives them back', async () => {
    const store = await open();
    deepEqual(await store.names(signal), ['ADMIN_TOKEN']);
    const first = await store.read('ADMIN_TOKEN', signal);
    ok(first);
    deepEqual(Object.keys(first.values), ['current']);
    const values = { current: kept('new'), previous: first.values.current, next: kept('third'), retired: kept('gone') };
    await store.write('ADMIN_TOKEN', values, first.version, signal);
    const second = await store.read('ADMIN_TOKEN', signal);
    deepEqual(second?.values, values);
    await store.write('ADMIN_TOKEN', { current: kept('new') }, second?.version ?? '', signal);
    deepEqual((await store.read('ADMIN_TOKEN', signal))?.values, { current: kept('new') });
  });

  it('refuses a write over what somebody changed since it was read', async () => {
    const store = await open();
    const read = await store.read('ADMIN_TOKEN', signal);
    ok(read);
    await store.write('ADMIN_TOKEN', { ...read.values, next: kept('theirs') }, read.version, signal);
    const mine = store.write('ADMIN_TOKEN', { ...read.values, next: kept('mine') }, read.version, signal);
    await rejects(mine, SecretConflict);
    equal((await store.read('ADMIN_TOKEN', signal))?.values.next?.value, 'theirs');
  });

  it('keeps a generation that has a name of its own', async () => {
    const store = await open();
    const read = await store.read('ADMIN_TOKEN', signal);
    await store.write('ADMIN_TOKEN', { current: { value: 'x', generation: '7' } }, read?.version ?? '', signal);
    equal((await store.read('ADMIN_TOKEN', signal))?.values.current.generation, '7');
  });
}

describe('secrets in a folder', () => {
  const folders: string[] = [];
  const open = async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'klar-store-'));
    folders.push(folder);
    await ensureSecret(folder, 'ADMIN_TOKEN');
    await ensureSecret(folder, 'DEMO_PASSWORD', { make: () => 'not ours' });
    return createFolderStore(folder, (name) => name === 'ADMIN_TOKEN');
  };
  after(async () => {
    for (const folder of folders) await rm(folder, { recursive: true });
  });
  contract(open);

  it('reach a process that watches them, as a mounted Secret does', async () => {
    const store = await open();
    const folder = folders.at(-1) ?? '';
    const settings = loadSettings('api', {
      KLAR_PROFILE: 'test',
      KLAR_SECRETS_DIR: folder,
      DATABASE_URL: 'postgres://localhost/klar',
      ...Object.fromEntries(
        ['AUTH_JWT_KEY', 'AUTH_SECRET', 'API_SECRET_SALT'].map((name) => [name, generateSecret(name)]),
      ),
    });
    const watching = settings.meta.watch();
    const read = await store.read('ADMIN_TOKEN', signal);
    ok(read);
    const value = generateSecret('ADMIN_TOKEN');
    await store.write(
      'ADMIN_TOKEN',
      { current: kept(value), previous: read.values.current, next: kept('not accepted') },
      read.version,
      signal,
    );
    await until(() => settings.ADMIN_TOKEN?.current() === value);
    deepEqual(
      settings.ADMIN_TOKEN?.accepted().map((one) => one.value),
      [value, read.values.current.value],
    );
    equal((await readFile(path.join(folder, 'ADMIN_TOKEN', 'current'), 'utf8')).trim(), value);
    watching.close();
  });
});

describe('secrets in a Secret', () => {
  const closing: (() => void)[] = [];
  const start = async () => {
    const server = await startSecretServer({ ADMIN_TOKEN: base64('old\n'), 'userlist.txt': base64('x') });
    const client = createKubeClient({
      endpoint: { server: server.url, namespace: 'klar', credentials: async () => ({}) },
    });
    closing.push(() => client.close(), server.close);
    const store = createKubeStore({
      client,
      namespace: 'klar',
      secret: 'klar',
      knows: (name) => /^[A-Z_]+$/.test(name),
    });
    return { server, store };
  };
  after(() => {
    for (const close of closing) close();
  });
  contract(async () => (await start()).store);

  it('that external-secrets or another owner manages are said to be', async () => {
    const { server, store } = await start();
    equal((await store.read('ADMIN_TOKEN', signal))?.managedBy, undefined);
    server.secret.metadata.labels = { 'reconcile.external-secrets.io/managed': 'true' };
    equal((await store.read('ADMIN_TOKEN', signal))?.managedBy, 'external-secrets');
    server.secret.metadata.ownerReferences = [
      { apiVersion: 'external-secrets.io/v1', kind: 'ExternalSecret', name: 'klar' },
    ];
    equal((await store.read('ADMIN_TOKEN', signal))?.managedBy, 'ExternalSecret klar');
  });

  it('whose key somebody applies, as Argo CD and Flux do, are said to be, and no others', async () => {
    const { server, store } = await start();
    const fields = (...keys: string[]) => ({ 'f:data': Object.fromEntries(keys.map((key) => [`f:${key}`, {}])) });
    const by = async (manager: string, operation: string, ...keys: string[]) => {
      server.secret.metadata.managedFields = [{ manager, operation, fieldsV1: fields(...keys) }];
      return (await store.read('ADMIN_TOKEN', signal))?.managedBy;
    };
    equal(await by('argocd-controller', 'Apply', 'ADMIN_TOKEN'), 'argocd-controller (server-side apply)');
    equal(await by('argocd-controller', 'Apply', 'SMTP_URL', 'ADMIN_TOKEN.previous'), undefined);
    equal(await by('kubectl-create', 'Update', 'ADMIN_TOKEN'), undefined, 'whoever made it once');
    equal(await by('klar-rotation', 'Apply', 'ADMIN_TOKEN'), undefined);
  });

  it('are not left alone where who applies them says that values are kept as they are found', async () => {
    const { server, store } = await start();
    const { metadata } = server.secret;
    metadata.managedFields = [{ manager: 'helm', operation: 'Apply', fieldsV1: { 'f:data': { 'f:ADMIN_TOKEN': {} } } }];
    metadata.annotations = { 'klar.dev/kept-as-found': 'ADMIN_TOKEN,AUTH_JWT_KEY' };
    equal((await store.read('ADMIN_TOKEN', signal))?.managedBy, undefined);
    metadata.annotations = { 'klar.dev/kept-as-found': 'AUTH_JWT_KEY' };
    equal((await store.read('ADMIN_TOKEN', signal))?.managedBy, 'helm (server-side apply)');
  });
});
