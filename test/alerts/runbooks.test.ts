import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { COMMANDS } from '../../services/cli/commands.ts';
import { findCommand, parseCall } from '../../services/cli/parse.ts';
import { alertNames, CHART } from './rules.ts';

const FOLDER = path.join(CHART, 'runbooks');
const ROOT = path.resolve(CHART, '../..');
const SECTIONS = ['Meaning', 'Impact', 'Diagnosis', 'Mitigation'];
const names = readdirSync(FOLDER)
  .map((file) => path.basename(file, '.md'))
  .filter((name) => name !== 'README')
  .sort();
const read = (name: string) => readFileSync(path.join(FOLDER, `${name}.md`), 'utf8');
const blocks = (text: string) => [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block);
const lines = (name: string) => blocks(read(name)).flatMap((block) => block.trim().split('\n'));

/** Words of a shell line, without its quotes; what stands for something is given a value of its kind. */
function words(line: string): string[] {
  const filled = line.replace(/<task>/g, 'cleanup').replace(/<[a-z -]+>/g, 'x');
  return [...filled.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? '');
}

describe('runbooks', () => {
  it('are one for each alert', () => {
    assert.deepEqual(names, alertNames());
  });

  for (const name of names) {
    describe(name, () => {
      it('says what it means, what it costs, how to find the cause, what to do', () => {
        const text = read(name);
        assert.ok(text.startsWith(`# ${name}\n`));
        assert.deepEqual(
          [...text.matchAll(/^## (.+)$/gm)].map(([, title]) => title),
          SECTIONS,
        );
        for (const section of text.split(/^## .+$/m).slice(1)) assert.ok(section.trim().length > 20);
        assert.ok(blocks(text.split('## Diagnosis')[1] ?? '').length > 0, 'no command to find the cause with');
      });

      it('calls commands of klar that exist, with options they take', async () => {
        const calls = lines(name).flatMap((line) => {
          const [, call] = /-- klar (.+?)(?: \|.*)?$/.exec(line) ?? [];
          return call === undefined ? [] : [call];
        });
        for (const call of calls) {
          const { entry, rest } = findCommand(words(call), COMMANDS);
          parseCall(entry, await entry.load(), rest);
        }
      });

      it('leads to files that are there', () => {
        for (const [, link = ''] of read(name).matchAll(/\]\(([^)]+)\)/g))
          assert.ok(existsSync(path.join(FOLDER, link)), link);
        for (const [, file = ''] of read(name).matchAll(/`(docs\/[^`]+)`/g))
          assert.ok(existsSync(path.join(ROOT, file)), file);
      });
    });
  }

  it('name objects that the chart makes', async function () {
    this.timeout(60_000);
    const set = ['mode=demo', 'image.repository=localhost/klar', 'postgresql.enabled=true', 'monitoring.enabled=true'];
    const { stdout } = await promisify(execFile)(
      'helm',
      [
        'template',
        'klar',
        CHART,
        ...[
          ...set,
          'ingress.enabled=true',
          'ingress.hosts={klar.test}',
          'monitoring.rules.runbookBaseUrl=https://x',
        ].flatMap((one) => ['--set', one]),
      ],
      { maxBuffer: 1 << 26 },
    );
    const made = new Set(
      parseAllDocuments(stdout)
        .map((document) => document.toJS() as { kind: string; metadata: { name: string } } | null)
        .flatMap((object) => (object === null ? [] : [`${object.kind.toLowerCase()}/${object.metadata.name}`])),
    );
    made.add('pod/klar-postgresql-0'); // of the StatefulSet
    const KINDS: Record<string, string> = {
      deploy: 'deployment',
      pvc: 'persistentvolumeclaim',
      exec: 'pod',
      pod: 'pod',
      cronjob: 'cronjob',
      podmonitor: 'podmonitor',
      ingress: 'ingress',
    };
    let compared = 0;
    for (const name of [...names, 'README']) {
      for (const line of lines(name)) {
        const found = line.matchAll(/\b(deploy|pvc|exec|pod|cronjob|podmonitor|ingress)[ /](klar(?:-[a-z0-9-]+)?)\b/g);
        for (const [, kind = '', object = ''] of found) {
          compared += 1;
          assert.ok(made.has(`${KINDS[kind]}/${object}`), `${name}: there is no ${kind}/${object}`);
        }
      }
    }
    assert.ok(compared > 50);
  });
});
