import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { alertNames, alertSource, NAMESPACE, promtool, type Rule, renderRules, selectorsOf } from './rules.ts';

/** One situation in cases/<Alert>.yaml: what Prometheus has scraped, and which alerts that makes at a time. */
interface Case {
  it: string;
  /** Series in promtool's notation; time begins at 0. `namespace="klar"` is added to each. */
  series: Record<string, string>;
  /** Between the values of a series; default 1m. */
  interval?: string;
  at: string;
  /** Labels of each alert beside those that the rule itself sets; [] where none fires. */
  fires: Record<string, string>[];
  /** Whose rule, where an alert has one for each task. */
  task?: string;
}

const CASES = path.join(import.meta.dirname, 'cases');
const casesOf = (alert: string): Case[] => parse(readFileSync(path.join(CASES, `${alert}.yaml`), 'utf8')) as Case[];

/** `up{a="b"}` -> `up{namespace="klar",a="b"}` */
function inNamespace(series: string): string {
  const [metric = '', inside = ''] = series.split(/[{}]/);
  return `${metric}{${[`namespace="${NAMESPACE}"`, ...(inside ? [inside] : [])].join(',')}}`;
}

describe('alerts', () => {
  let rules: Rule[];
  before(async function () {
    this.timeout(60_000);
    rules = await renderRules();
  });

  it('are accepted by promtool, annotations and all', async () => {
    const said = await promtool({ 'rules.yaml': { groups: [{ name: 'klar', rules }] } }, (folder) => [
      'check',
      'rules',
      `${folder}/rules.yaml`,
    ]);
    assert.match(said, new RegExp(`${rules.length} rules found`));
  });

  it('are all in the chart, each under the name of its file, with a severity, a sentence and a runbook', () => {
    assert.deepEqual([...new Set(rules.map((rule) => rule.alert))].sort(), alertNames());
    for (const rule of rules) {
      const severity = rule.labels.severity ?? '';
      const allowed = rule.alert === 'KlarWatchdog' ? ['none'] : ['page', 'ticket'];
      assert.ok(allowed.includes(severity), `${rule.alert}: severity ${severity}`);
      assert.equal(rule.labels.namespace, NAMESPACE);
      assert.match(rule.annotations.summary ?? '', /\.$/, rule.alert);
      assert.match(rule.annotations.description ?? '', /\.$/, rule.alert);
      assert.equal(rule.annotations.runbook_url, `https://runbooks.example.com/klar/${rule.alert}.md`);
    }
  });

  it('have no word left that the chart should have replaced', () => {
    for (const rule of rules) {
      const text = JSON.stringify(rule).replace(/\$(labels|value)\b/g, '');
      assert.doesNotMatch(text, /\$[a-z]/, rule.alert);
    }
  });

  it('look at this release only', () => {
    for (const alert of alertNames()) {
      const { expr } = parse(alertSource(alert)) as Rule;
      for (const { metric, labels } of selectorsOf(expr)) {
        assert.ok(labels.includes('namespace'), `${alert}: ${metric} of every namespace`);
      }
      // A metric without braces would be one that neither this test nor the one of the metrics sees.
      const bare = expr.replace(/"[^"]*"/g, '').match(/\b(klar|kube|container|kubelet)_[a-z_]+(?![a-z_{])/g);
      assert.equal(bare, null, `${alert}: ${bare}`);
    }
  });

  it('can be left out, and given another severity and more labels', async function () {
    this.timeout(60_000);
    const other = await renderRules([
      'monitoring.rules.disabled={KlarWatchdog}',
      'monitoring.rules.severity.KlarInboxDead=page',
      'monitoring.rules.labels.team=platform',
    ]);
    assert.ok(!other.some((rule) => rule.alert === 'KlarWatchdog'));
    assert.equal(other.find((rule) => rule.alert === 'KlarInboxDead')?.labels.severity, 'page');
    assert.ok(other.every((rule) => rule.labels.team === 'platform'));
  });

  it('follow the schedule: another period, another threshold; a task that is off has none', async function () {
    this.timeout(60_000);
    const other = await renderRules(['cronjobs.backup.every=6h', 'cronjobs.restore-verify.enabled=false']);
    assert.match(other.find((rule) => rule.alert === 'KlarBackupStale')?.expr ?? '', /1\.25 \* 21600/);
    assert.equal(other.find((rule) => rule.alert === 'KlarBackupAbsent')?.for, '27000s');
    assert.ok(!other.some((rule) => rule.alert.startsWith('KlarRestoreProof')));
  });

  it('have cases, and no case is about an alert that is gone', () => {
    assert.deepEqual(
      readdirSync(CASES)
        .map((file) => path.basename(file, '.yaml'))
        .sort(),
      alertNames(),
    );
  });

  for (const alert of alertNames()) {
    if (!existsSync(path.join(CASES, `${alert}.yaml`))) continue;
    describe(alert, () => {
      const cases = casesOf(alert);

      it('is shown firing, and silent over the same metrics', () => {
        assert.ok(cases.some((one) => one.fires.length > 0));
        if (alert === 'KlarWatchdog') return;
        const silent = cases.filter((one) => one.fires.length === 0 && Object.keys(one.series).length > 0);
        assert.ok(silent.length > 0);
      });

      for (const one of cases) {
        it(one.it, async () => {
          const rule = rules.find(
            (each) => each.alert === alert && (one.task === undefined || each.labels.task === one.task),
          );
          assert.ok(rule, `no rule ${alert} ${one.task ?? ''}`);
          // Annotations would have to be repeated word by word in every case.
          const { annotations, ...bare } = rule;
          const tested = {
            rule_files: ['rules.yaml'],
            evaluation_interval: '1m',
            tests: [
              {
                interval: one.interval ?? '1m',
                input_series: Object.entries(one.series).map(([series, values]) => ({
                  series: inNamespace(series),
                  values,
                })),
                alert_rule_test: [
                  {
                    eval_time: one.at,
                    alertname: alert,
                    exp_alerts: one.fires.map((labels) => ({ exp_labels: { ...rule.labels, ...labels } })),
                  },
                ],
              },
            ],
          };
          await promtool(
            { 'rules.yaml': { groups: [{ name: 'klar', rules: [bare] }] }, 'test.yaml': tested },
            (folder) => ['test', 'rules', `${folder}/test.yaml`],
          );
        });
      }
    });
  }
});
