import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');

describe('the PostgreSQL that comes with Klar', () => {
  // pg_dump refuses a server newer than itself: a demo of one version and an image of another never has a backup.
  it('has the major version of the image’s pg_dump wherever one is named', () => {
    const [, client] = /^ARG PG_CLIENT=(\d+)$/m.exec(read('Dockerfile')) ?? [];
    assert.ok(client);
    const named = [
      'charts/klar/values.yaml',
      'compose.yaml',
      'skaffold.yaml',
      'k8s/README.md',
      'k8s/cnpg/cluster.yaml',
      'k8s/cnpg/recovery.yaml',
      '.github/workflows/ci.yml',
    ].map((file) => [
      file,
      ...new Set([...read(file).matchAll(/\/postgres(?:ql)?:(\d{2})\b/g)].map(([, major]) => major)),
    ]);
    for (const [file, ...majors] of named) assert.deepEqual([file, majors], [file, [client]]);
  });
});

describe('functions that need another owner', () => {
  // `klar roles ensure` makes them from the text of 0105: what a later file said would be undone without a word.
  it('are defined by one migration', () => {
    const files = readdirSync(path.join(ROOT, 'migrations')).filter((file) =>
      /function ops\.(set_login_verifier|end_login_sessions)\(/.test(read(`migrations/${file}`)),
    );
    assert.deepEqual(files, ['0105_secrets.sql']);
  });
});
