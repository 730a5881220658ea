import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { importsOf, readSources } from '../../architecture/rules.ts';

/** What backups need and nobody who serves may load: 30 MB of S3 client, and the programs around it. */
const HEAVY = /^(@aws-sdk\/|@smithy\/|age-encryption|services\/domain\/operations\/backups\/)/;

describe('a serving process', () => {
  const sources = new Map(readSources(resolve(import.meta.dirname, '../../..')).map((source) => [source.path, source]));

  for (const entry of ['api', 'webhook-ingest', 'worker', 'all-in-one']) {
    it(`loads nothing of backups when it starts: ${entry}`, () => {
      const seen = new Set<string>();
      const todo = [`services/${entry}/main.ts`];
      for (let path = todo.pop(); path !== undefined; path = todo.pop()) {
        if (seen.has(path)) continue;
        seen.add(path);
        const source = sources.get(path);
        if (source === undefined) continue;
        // What is loaded when a task runs is not loaded when the process starts.
        todo.push(...importsOf({ path, text: source.text.replaceAll(/\bimport\(/g, 'later(') }));
      }
      assert.ok(seen.size > 30, `only ${seen.size} files seen`);
      assert.deepEqual(
        [...seen].filter((path) => HEAVY.test(path)),
        [],
      );
    });
  }
});
