import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CHART, type KubeObject, named, render } from './support/helm.ts';

/** What stands beside Klar and must not restart because Klar is upgraded. */
const BESIDE = [
  ['StatefulSet', 'klar-postgresql'],
  ['Deployment', 'klar-pgbouncer'],
  ['Deployment', 'klar-sandbox'],
] as const;

const VALUES = { pgbouncer: { enabled: true, image: 'registry.example.com/pgbouncer:1.25.0' } };

/** The demo as the next release of the chart renders it. */
function nextRelease(values: object): KubeObject[] {
  const folder = mkdtempSync(path.join(tmpdir(), 'klar-chart-'));
  try {
    const chart = path.join(folder, 'klar');
    cpSync(CHART, chart, { recursive: true });
    const file = path.join(chart, 'Chart.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace(/^(version|appVersion): .*$/gm, '$1: 99.0.0'));
    return render('demo', values, chart);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('an upgrade of the chart', () => {
  const before = render('demo', VALUES);
  const template = (objects: KubeObject[], [kind, name]: (typeof BESIDE)[number]) =>
    named(objects, kind, name).spec.template;

  it('lets each new pod warm up before the next old one goes, and never takes one away first', () => {
    for (const name of ['klar-api', 'klar-webhook-ingest', 'klar-worker']) {
      const { minReadySeconds, strategy } = named(before, 'Deployment', name).spec;
      assert.ok(minReadySeconds >= 5, name);
      assert.deepEqual(strategy.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 }, name);
    }
  });

  it('restarts nothing that stands beside Klar, whatever its versions are', () => {
    const after = nextRelease(VALUES);
    assert.match(JSON.stringify(named(after, 'Deployment', 'klar-api')), /99\.0\.0/);
    for (const one of BESIDE) assert.deepEqual(template(after, one), template(before, one), one[1]);
  });

  it('to another image restarts of these the sandbox alone, which is that image', () => {
    const after = render('demo', { ...VALUES, image: { tag: 'other' } });
    for (const one of BESIDE.slice(0, 2)) assert.deepEqual(template(after, one), template(before, one), one[1]);
    const sandbox = structuredClone(template(after, BESIDE[2]));
    assert.equal(sandbox.spec.containers[0].image, 'klar:other');
    sandbox.spec.containers[0].image = template(before, BESIDE[2]).spec.containers[0].image;
    assert.deepEqual(sandbox, template(before, BESIDE[2]));
  });

  it('leaves PgBouncer the label by which a server elsewhere lets it in', () => {
    const { labels } = template(before, BESIDE[1]).metadata;
    assert.equal(labels['app.kubernetes.io/part-of'], 'klar');
  });

  it('lets PgBouncer finish what runs, within the time that its pod has', () => {
    const { terminationGracePeriodSeconds, containers } = template(before, BESIDE[1]).spec;
    const [, , script] = containers[0].lifecycle.preStop.exec.command;
    const [, pause] = /^sleep (\d+); kill -INT 1; while kill -0 1;/.exec(script) ?? [];
    assert.ok(Number(pause) >= 5 && terminationGracePeriodSeconds >= Number(pause) + 30, script);
    // The signal is for the first process.
    assert.equal(containers[0].command[0], 'pgbouncer');
  });
});
