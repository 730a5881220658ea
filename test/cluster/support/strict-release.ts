import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { until } from '../../support/until.ts';
import type { Ended } from './command.ts';
import { CHART } from './installation.ts';
import { helm, type Pod, tryHelm } from './kube.ts';
import { clusterSettings } from './settings.ts';
import { kubectlStrict, STRICT, strictValues } from './strict.ts';
import type { Values } from './values.ts';

const PRODUCTION = path.join(CHART, 'ci/production-small-values.yaml');
const SERVING = 'app.kubernetes.io/instance=klar,app.kubernetes.io/component in (api,webhook-ingest,worker)';

interface Status {
  name: string;
  state: { terminated?: { exitCode: number } };
  lastState: { terminated?: { exitCode: number } };
}
interface StatusOfPod {
  metadata: { name: string };
  status: { initContainerStatuses?: Status[]; containerStatuses?: Status[] };
}

/** Prints below the test that runs. */
export const tell = (text: string): boolean => process.stdout.write(`${text.trimEnd().replace(/^/gm, '      | ')}\n`);

const itemsOf = async <T>(kind: string, selector: string): Promise<T[]> =>
  (JSON.parse(await kubectlStrict(['get', kind, '-l', selector, '-o', 'json'])) as { items: T[] }).items;

/** `kind/name` of what a selector takes. */
export const namesOf = async (kinds: string, selector: string): Promise<string[]> =>
  (await kubectlStrict(['get', kinds, '-l', selector, '-o', 'name'])).split('\n').filter(Boolean).sort();

/** The pods that serve, without those that are about to go. */
export const servingPods = async (): Promise<Pod[]> =>
  (await itemsOf<Pod>('pods', SERVING)).filter(({ metadata }) => !metadata.deletionTimestamp);

/** The first container that ended in a component's pod: its code, what it said, and how many pods there were. */
export const endedContainer = (instance: string, component: string) =>
  until(
    async () => {
      const labels = `app.kubernetes.io/instance=${instance},app.kubernetes.io/component=${component}`;
      const pods = await itemsOf<StatusOfPod>('pods', labels);
      const [pod] = pods;
      const all = [...(pod?.status.initContainerStatuses ?? []), ...(pod?.status.containerStatuses ?? [])];
      const one = all.find(({ state, lastState }) => state.terminated ?? lastState.terminated);
      if (pod === undefined || one === undefined) return undefined;
      const code = (one.state.terminated ?? one.lastState.terminated)?.exitCode;
      const log = await kubectlStrict(['logs', pod.metadata.name, '-c', one.name]);
      tell(`${one.name} (exit ${code}):\n${log}`);
      return { code, log, pods: pods.length };
    },
    { timeoutMs: 60_000, everyMs: 500, what: `the end of a pod of ${component}` },
  );

/** The release `klar` of the strict namespace, by the values of charts/klar/ci for one school with this cluster's addresses. */
export function strictRelease() {
  const folder = mkdtempSync(path.join(tmpdir(), 'klar-modes-'));
  const { image } = clusterSettings();
  let files = 0;
  const valueArgs = (values: Values, of = image): string[] => [
    ...['-f', PRODUCTION],
    ...[strictValues(of), values].flatMap((each) => {
      const file = path.join(folder, `values-${++files}.json`);
      writeFileSync(file, JSON.stringify(each));
      return ['-f', file];
    }),
  ];
  const wait = (timeout: string) => ['--wait', '--timeout', timeout];
  return {
    /** Arguments for a helm command of one's own. */
    valueArgs,
    install: (values: Values): Promise<Ended> =>
      tryHelm(['-n', STRICT, 'install', 'klar', CHART, ...valueArgs(values), ...wait('4m')]),
    upgrade: (values: Values, { of = image, timeout = '4m' } = {}): Promise<Ended> =>
      tryHelm(['-n', STRICT, 'upgrade', 'klar', CHART, ...valueArgs(values, of), ...wait(timeout)]),
    uninstall: (): Promise<Ended> => tryHelm(['-n', STRICT, 'uninstall', 'klar', ...wait('2m')]),
    /** When the Job of the migration hook ran last, and how it ended, as helm has it in the release. */
    async hook(): Promise<{ phase: string; started_at: string }> {
      const status = JSON.parse(await helm(['-n', STRICT, 'status', 'klar', '-o', 'json'])) as {
        hooks: { kind: string; name: string; last_run: { phase: string; started_at: string } }[];
      };
      const job = status.hooks.find(({ kind, name }) => kind === 'Job' && name === 'klar-migrate');
      assert.ok(job, 'the migration is a hook');
      return job.last_run;
    },
    /** `helm test`, all of it green. */
    async passesTest(): Promise<void> {
      const printed = await helm(['-n', STRICT, 'test', 'klar', '--timeout', '2m', '--logs']);
      const lines = printed.split('\n').filter((line) => /^(ok|FAIL) /.test(line));
      tell(lines.join('\n'));
      assert.equal(lines.length, 7, printed);
      assert.deepEqual(
        lines.filter((line) => line.startsWith('FAIL')),
        [],
      );
      assert.doesNotMatch(printed, /Phase:\s+Failed/);
    },
    /** The settings of a process, as NOTES.txt says to look at them. */
    settings: (process: 'api' | 'webhook-ingest' | 'worker'): Promise<string> =>
      kubectlStrict([
        ...['exec', `deployment/klar-${process}`, '--', 'node', 'services/cli/main.ts', 'config', 'check'],
        ...['--process', process],
      ]),
    cleanUp: () => rmSync(folder, { recursive: true, force: true }),
  };
}
