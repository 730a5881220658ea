import { findGateway } from '../../support/s3-gateway.ts';
import { cronJobName, type TaskPod, type Workbench, workbench } from './backup-pods.ts';
import { kubectl, kubectlJson } from './kube.ts';

/** What becomes of requests: each n-th (0: none) from the `from`-th on, at most `times`. */
export interface Faults {
  kind: 'fail' | 'stall' | 'cut';
  every: number;
  from?: number;
  times?: number;
}

const WORK = '/var/lib/klar/work';
const KEYS = { AWS_ACCESS_KEY_ID: 'test-root-key', AWS_SECRET_ACCESS_KEY: 'test-root-secret' };
const SETTINGS = {
  BACKUP_URL: 's3://backups/klar',
  S3_ENDPOINT: 'http://127.0.0.1:7071',
  AWS_REGION: 'us-east-1',
  ...KEYS,
};

/** Passes requests on to the gateway, but for those that the file `faults` names; runs beside it in the pod. */
const PROXY = `
import http from 'node:http';
import { readFileSync } from 'node:fs';
let [last, seen, made] = ['', 0, 0];
http.createServer((request, response) => {
  const text = readFileSync('${WORK}/faults', 'utf8');
  if (text !== last) [last, seen, made] = [text, 0, 0];
  const { kind, every = 0, from = 1, times = 1e9 } = JSON.parse(text);
  seen += 1;
  const fault = every > 0 && seen >= from && (seen - from) % every === 0 && made < times ? kind : 'pass';
  if (fault !== 'pass') made += 1;
  if (fault === 'stall') return;
  if (fault === 'cut' && request.method !== 'GET') return void request.socket.destroy();
  if (fault === 'fail') {
    request.resume().on('end', () => {
      response.writeHead(500, { 'content-type': 'application/xml' });
      response.end('<Error><Code>InternalError</Code><Message>on purpose</Message></Error>');
    });
    return;
  }
  const { method, url: path, headers } = request;
  const onward = http.request({ host: '127.0.0.1', port: 7070, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    if (fault === 'cut') answer.once('data', (chunk) => {
      response.write(chunk.subarray(0, chunk.length >> 1));
      setImmediate(() => request.socket.destroy());
    });
    else answer.pipe(response);
  });
  onward.on('error', () => request.socket.destroy());
  request.on('error', () => onward.destroy());
  request.pipe(onward);
}).listen(7071, '127.0.0.1');
`;

export interface S3Bench extends Pick<Workbench, 'pod'> {
  /** `klar <words>` with the gateway as its store. */
  klar: Workbench['klar'];
  faults(faults: Faults | 'none'): Promise<void>;
}

/**
 * A pod that may back up and restore, with a real S3 gateway (versitygw) in it, behind a proxy that makes the faults: all
 * on the pod's own loopback, as no policy of the chart opens a way to a store in the cluster.
 */
export async function s3Bench(): Promise<S3Bench> {
  const writer = await kubectlJson<{ spec: { jobTemplate: { spec: { template: { spec: TaskPod } } } } }>([
    'get',
    'cronjob',
    cronJobName('backup'),
  ]);
  const bench = await workbench(cronJobName('restore-verify'), 'bench-s3', (pod) => {
    addSecrets(pod, writer.spec.jobTemplate.spec.template.spec);
    // The gateway and the proxy live in it too.
    for (const { resources } of pod.containers) resources.limits = { ...resources.limits, memory: '3Gi' };
  });
  await kubectl(['cp', findGateway(), `${bench.pod}:${WORK}/versitygw`]);
  await bench.sh(`cd ${WORK}; mkdir -p data/backups sidecar; chmod +x versitygw; echo '{}' > faults
    ROOT_ACCESS_KEY=${KEYS.AWS_ACCESS_KEY_ID} ROOT_SECRET_KEY=${KEYS.AWS_SECRET_ACCESS_KEY} \\
      nohup ./versitygw --port 127.0.0.1:7070 --health /health --quiet posix --sidecar ${WORK}/sidecar ${WORK}/data > gateway.log 2>&1 &`);
  await bench.node(`
    import { spawn } from 'node:child_process';
    import { writeFileSync } from 'node:fs';
    writeFileSync('${WORK}/proxy.mjs', ${JSON.stringify(PROXY)});
    spawn(process.execPath, ['${WORK}/proxy.mjs'], { detached: true, stdio: 'ignore' }).unref();`);
  await bench
    .node(`
      const answers = () => fetch('http://127.0.0.1:7071/health').then(({ ok }) => ok, () => false);
      for (let n = 0; !(await answers()); n += 1) {
        if (n === 100) process.exit(1);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }`)
    .catch(async () => {
      throw new Error(`the gateway did not start: ${await bench.sh(`cat ${WORK}/gateway.log`)}`);
    });
  const settings = Object.entries(SETTINGS).map(([name, value]) => `${name}=${value}`);
  return {
    pod: bench.pod,
    klar: (...words) => bench.exec(['env', ...settings, 'klar', ...words]),
    faults: async (faults) => {
      await bench.sh(`echo '${JSON.stringify(faults === 'none' ? {} : faults)}' > ${WORK}/faults`);
    },
  };
}

/** Gives a pod the secrets of another one too; a path that it has already stays its own. */
function addSecrets(pod: TaskPod, from: TaskPod): void {
  type Source = { secret: { items: { path: string }[] } };
  const sourcesOf = (each: TaskPod) =>
    (each.volumes.find(({ name }) => name === 'secrets') as unknown as { projected: { sources: Source[] } }).projected
      .sources;
  const own = sourcesOf(pod);
  const paths = new Set(own.flatMap(({ secret }) => secret.items.map(({ path }) => path)));
  for (const source of structuredClone(sourcesOf(from))) {
    source.secret.items = source.secret.items.filter(({ path }) => !paths.has(path));
    if (source.secret.items.length > 0) own.push(source);
  }
}
