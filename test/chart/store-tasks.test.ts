import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { CHART, type KubeObject, named, pods, render, template } from './support/helm.ts';

const STORE_TASKS = ['backup', 'restore-verify', 'backup-prune'] as const;
const BY_HAND = ['toolbox', 'restore'] as const;

const podOf = (objects: KubeObject[], task: string) =>
  named(objects, 'CronJob', `klar-${task}`).spec.jobTemplate.spec.template;
const mounts = (spec: KubeObject['spec']): boolean =>
  spec.volumes.some(({ persistentVolumeClaim: claim }: KubeObject['spec']) => claim?.claimName === 'klar-backups');
const withVolume = (backupVolume: object, more: object = {}) => render('demo', { cronjobs: { backupVolume, ...more } });

describe('the tasks that work with the store of the backups', () => {
  it('each have an identity of their own, which nothing else shares with the one that removes', () => {
    const annotations = (task: string) => ({ 'eks.amazonaws.com/role-arn': `arn:aws:iam::1:role/${task}` });
    const values = Object.fromEntries(
      STORE_TASKS.map((task) => [task, { serviceAccount: { annotations: annotations(task) } }]),
    );
    const objects = render('production-small', { cronjobs: values });
    for (const task of STORE_TASKS) {
      const account = podOf(objects, task).spec.serviceAccountName;
      assert.equal(account, `klar-${task}`);
      assert.deepEqual(named(objects, 'ServiceAccount', account).metadata.annotations, annotations(task));
    }
    const others = pods(objects).filter(({ owner }) => owner !== 'CronJob/klar-backup-prune');
    assert.ok(others.every(({ spec }) => spec.serviceAccountName !== 'klar-backup-prune'));
    assert.equal(podOf(objects, 'cleanup').spec.serviceAccountName, 'klar-task');
  });

  it('leave the places for klar by hand the identity of the one that reads, also where that is off', () => {
    const objects = render('demo', { cronjobs: { 'restore-verify': { enabled: false } } });
    named(objects, 'ServiceAccount', 'klar-restore-verify');
    for (const place of BY_HAND) assert.equal(podOf(objects, place).spec.serviceAccountName, 'klar-restore-verify');
  });

  it('have in the values what tasks.yaml says of them', () => {
    const facts = parse(readFileSync(path.join(CHART, 'tasks.yaml'), 'utf8')) as Record<string, { store?: string }>;
    const withStore = Object.keys(facts).filter((task) => facts[task]?.store);
    assert.deepEqual(withStore.sort(), [...STORE_TASKS].sort());
  });

  it('go with everything else that mounts a volume of one node to that node', () => {
    const all = pods(render('demo')).filter(({ spec }) => spec.volumes && mounts(spec));
    assert.deepEqual(all.map(({ owner }) => owner.replace(/-[0-9a-f]{8}$/, '')).sort(), [
      'CronJob/klar-backup',
      'CronJob/klar-backup-prune',
      'CronJob/klar-restore',
      'CronJob/klar-restore-verify',
      'CronJob/klar-toolbox',
      'Job/klar-backup-volume',
    ]);
    for (const { owner, spec } of all) {
      const terms = spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution;
      assert.equal(terms.length, 1, owner);
      assert.equal(terms[0].topologyKey, 'kubernetes.io/hostname');
      // Also itself: Kubernetes lets a pod that matches its own term go first where no other does.
      const wanted = Object.entries(terms[0].labelSelector.matchLabels);
      for (const other of all) {
        for (const [key, value] of wanted)
          assert.equal(other.labels[key], value, `${owner} would not find ${other.owner}`);
      }
    }
    const rest = pods(render('demo')).filter(({ spec }) => !(spec.volumes && mounts(spec)));
    for (const { owner, labels } of rest) assert.equal(labels['klar.dev/backup-volume'], undefined, owner);
  });

  it('go anywhere with a volume of many nodes, with one that the chart did not make, and without one', () => {
    for (const volume of [
      { accessMode: 'ReadWriteMany' },
      { accessMode: 'ReadWriteOncePod' },
      { existingClaim: 'mine' },
    ]) {
      for (const { owner, spec } of pods(withVolume(volume))) assert.equal(spec.affinity, undefined, owner);
    }
    for (const { owner, spec } of pods(render('production-small'))) assert.equal(spec.affinity, undefined, owner);
  });

  it('keep the affinity of the values beside it', () => {
    const own = { topologyKey: 'topology.kubernetes.io/zone', labelSelector: { matchLabels: { app: 'x' } } };
    const affinity = {
      nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] },
      podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [own] },
    };
    const made = podOf(withVolume({}, { backup: { affinity } }), 'backup').spec.affinity;
    assert.deepEqual(Object.keys(made).sort(), ['nodeAffinity', 'podAffinity']);
    const terms = made.podAffinity.requiredDuringSchedulingIgnoredDuringExecution;
    assert.equal(terms.length, 2);
    assert.deepEqual(terms[0], own);
  });

  it('may be allowed the server that serves, instead of one for restores alone', () => {
    const values = {
      networkPolicies: { restoreVerify: { to: [] } },
      cronjobs: { 'restore-verify': { args: ['--allow-production-server'] } },
    };
    assert.equal(template('production-small', values).status, 0);
    assert.equal(
      template('production-small', { ...values, cronjobs: { 'restore-verify': { enabled: false } } }).status,
      0,
    );
  });
});

describe('alerts about objects by their names', () => {
  const expr = (values: object, alert: string): string => {
    const objects = render('high-availability', values);
    const { rules } = named(
      objects,
      'PrometheusRule',
      objects.find(({ kind }) => kind === 'PrometheusRule')?.metadata.name ?? '',
    ).spec.groups[0];
    return rules.find((rule: { alert: string }) => rule.alert === alert).expr;
  };

  it('find the claim of the backups, also one that the chart did not make', () => {
    assert.match(expr({}, 'KlarBackupVolumeFilling'), /persistentvolumeclaim="klar-backups"/);
    const given = expr({ cronjobs: { backupVolume: { existingClaim: 'mine' } } }, 'KlarBackupVolumeFilling');
    assert.equal(given.match(/persistentvolumeclaim="mine"/g)?.length, 2);
  });

  it('find every CronJob of a task, also where a long name was cut', () => {
    const values = { fullnameOverride: `${'long-'.repeat(7)}name` };
    const jobs = render('high-availability', values)
      .filter(({ kind, metadata }) => kind === 'CronJob' && !/-(toolbox|restore)$/.test(metadata.name))
      .map(({ metadata }) => metadata.name);
    assert.ok(jobs.length >= 4);
    const [, names = ''] = /cronjob=~"([^"]*)"/.exec(expr(values, 'KlarCronJobSuspended')) ?? [];
    assert.deepEqual(names.split('|').sort(), jobs.sort());
  });
});
