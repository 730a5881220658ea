import assert from 'node:assert/strict';
import { clusterSettings, kubectl, tryKubectl } from './support/index.ts';

/** A pod that waits, hardened as the chart's pods are; its place is a namespace that enforces `restricted`. */
const pod = (image: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'image' },
  spec: {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'klar',
        image,
        imagePullPolicy: 'IfNotPresent',
        args: ['--eval', 'setTimeout(() => {}, 3_600_000)'],
        resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { memory: '512Mi' } },
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
      },
    ],
  },
});

/** The image as a container runtime starts it, without anything of the chart. */
describe('the image in a container', function () {
  this.timeout(180_000);
  const { image } = clusterSettings();
  const namespace = `${clusterSettings().namespace}-image`;
  const at = ['-n', namespace];
  const sh = (command: string) => tryKubectl([...at, 'exec', 'image', '--', 'sh', '-c', command]);
  const said = async (command: string) => {
    const { code, stdout, stderr } = await sh(command);
    assert.equal(code, 0, `${command}: ${stdout}${stderr}`);
    return stdout.trim();
  };

  before(async () => {
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    const place = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } };
    await kubectl([...at, 'apply', '-f', '-'], { input: JSON.stringify(place) });
    await kubectl([...at, 'apply', '-f', '-'], { input: JSON.stringify(pod(image)) });
    await kubectl([...at, 'wait', '--for=condition=Ready', 'pod/image', '--timeout=120s']);
  });
  after(() => kubectl([...at, 'delete', 'namespace', namespace, '--wait=false']));

  it('prints what its size is made of', async () => {
    // One call for each, as du counts nothing twice; what its user may not read is a few kilobytes.
    const folders = '/ /usr/local/bin/node /app/node_modules /app/services /app/.compile-cache';
    const rows = (await said(`for place in ${folders}; do du -smx $place 2> /dev/null || :; done`)).split('\n');
    const size = new Map(rows.map((row) => row.split('\t')).map(([mebibytes, name]) => [name, Number(mebibytes)]));
    const list = 'for file in /var/lib/dpkg/status.d/*; do grep -h ^Installed-Size "$file"; done';
    const kibibytes = (await said(list)).split('\n').map((row) => Number(row.split(' ')[1]));
    const packages = Math.round(kibibytes.reduce((sum, one) => sum + one, 0) / 1024);
    process.stdout.write(
      `      ${size.get('/')} MiB: node ${size.get('/usr/local/bin/node')}, npm packages ${size.get('/app/node_modules')}, ` +
        `compiled code ${size.get('/app/.compile-cache')}, Klar ${size.get('/app/services')}, ` +
        `client tools and libraries at most ${packages}\n`,
    );
    assert.ok(Number(size.get('/')) < 400);
  });

  it('is a user with a number and no name, and can write nothing', async () => {
    assert.equal(await said('id -u'), '10001');
    for (const place of ['/app', '/tmp', '/usr/local/bin', '/etc']) {
      assert.notEqual((await sh(`touch ${place}/written`)).code, 0, place);
    }
  });

  it('has the client tools with all of their libraries, and no package manager', async () => {
    for (const tool of ['pg_dump', 'pg_restore', 'psql'])
      assert.match(await said(`${tool} --version`), /PostgreSQL\) \d+/);
    // Beyond its version: resolving, TLS and what it says when nobody answers need the libraries, too.
    const refused = await sh("psql 'host=127.0.0.1 port=1 user=nobody sslmode=require dbname=none' -c 'select 1'");
    assert.match(refused.stderr, /Connection refused/);
    for (const tool of ['npm', 'npx', 'corepack', 'pg_wrapper'])
      assert.notEqual((await sh(`command -v ${tool}`)).code, 0, tool);
  });

  it('lists in its bill of materials what dpkg knows of', async () => {
    const bom = JSON.parse(await said('cat /app/sbom.cdx.json')) as { components: { name: string; purl: string }[] };
    const listed = bom.components.filter(({ purl }) => purl.startsWith('pkg:deb/')).map(({ name }) => name);
    const known = `dpkg-query -W -f '\${Package}\\n'; ls /var/lib/dpkg/status.d`;
    assert.deepEqual([...new Set(listed)].sort(), [...new Set((await said(known)).split('\n'))].sort());
  });

  it('does not play the providers unless it is told what it is', async () => {
    const { code, stderr } = await sh('node services/sandbox/main.ts');
    assert.equal(code, 78);
    assert.match(stderr, /production/);
  });

  it('says everything that is missing, and ends with 78', async () => {
    for (const process of ['api', 'webhook-ingest', 'worker']) {
      assert.equal((await sh(`node services/${process}/main.ts`)).code, 78, process);
    }
    assert.match(await said('klar --help'), /Usage/);
  });
});
