import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CHART, run, SCENARIOS } from './support/helm.ts';

describe('the documents of the chart', () => {
  it('include a README that is what helm-docs makes of the values', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'klar-docs-'));
    try {
      cpSync(CHART, path.join(folder, 'klar'), { recursive: true });
      const { status, stderr } = run('helm-docs', ['--chart-search-root', folder, '--sort-values-order', 'file']);
      assert.equal(status, 0, stderr);
      const fresh = readFileSync(path.join(folder, 'klar/README.md'), 'utf8');
      const mend = 'run: helm-docs --chart-search-root charts --sort-values-order file';
      assert.equal(readFileSync(path.join(CHART, 'README.md'), 'utf8'), fresh, mend);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  for (const scenario of SCENARIOS) {
    it(`leave helm lint nothing to say about ${scenario}`, () => {
      const { status, stdout } = run('helm', [
        'lint',
        '--strict',
        CHART,
        '-f',
        path.join(CHART, 'ci', `${scenario}-values.yaml`),
      ]);
      assert.equal(status, 0, stdout);
    });
  }

  it('end an installation with the next three commands', () => {
    for (const [scenario, third] of [
      ['demo', 'npm run demo -- --base-url http://klar.localhost'],
      ['production-small', 'config check --process api'],
    ]) {
      const values = path.join(CHART, 'ci', `${scenario}-values.yaml`);
      const { stdout, stderr } = run('helm', [
        'install',
        'klar',
        CHART,
        '-n',
        'shop',
        '--dry-run=client',
        '-f',
        values,
      ]);
      for (const command of [/1\. .*\n\n +kubectl -n shop rollout status/, /2\. .*\n\n +helm test klar -n shop/]) {
        assert.match(stdout, command, stderr);
      }
      assert.ok(stdout.slice(stdout.indexOf('\n3. ')).includes(third ?? ''), stdout.slice(-900));
    }
  });
});
