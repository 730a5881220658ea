import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { importViolations, readSources, tableViolations, textViolations, type Violation } from './rules.ts';

const root = resolve(import.meta.dirname, '../..');
const show = (violations: Violation[]) => violations.map((v) => `${v.path}: ${v.rule} (${v.detail})`);

describe('architecture', () => {
  const sources = readSources(root);

  it('reads the whole of services', () => {
    assert.ok(sources.length > 50, `only ${sources.length} files seen`);
  });
  it('keeps the import rules', () => assert.deepEqual(show(importViolations(sources)), []));
  it('keeps the text rules', () => assert.deepEqual(show(textViolations(sources)), []));
  it('names each table in one module', () => assert.deepEqual(show(tableViolations(sources)), []));
});

describe('architecture rules see a breach', () => {
  const breach = (path: string, text: string, rule: string) =>
    it(`${rule}: ${path}`, () => {
      const source = [{ path, text }];
      const found = [...importViolations(source), ...textViolations(source)].map((violation) => violation.rule);
      assert.ok(found.includes(rule), `saw ${JSON.stringify(found)}`);
    });

  breach(
    'services/platform/db/pool.ts',
    "import { x } from '#domain/sales/index.ts';",
    'platform knows no domain and no process',
  );
  breach(
    'services/domain/sales/order.ts',
    "import { x } from '#domain/learning/store.ts';",
    'a module is entered through its index.ts',
  );
  breach(
    'services/domain/sales/order.ts',
    "import { x } from '../../api/app.ts';",
    'domain imports platform and domain only',
  );
  breach('services/api/main.ts', "import { x } from '../worker/main.ts';", 'a process never imports another process');
  breach(
    'services/controller/kube/queue.ts',
    "import { x } from '#domain/flags/index.ts';",
    "the controller's kube/ knows no domain",
  );
  breach(
    'services/controller/kube/queue.ts',
    "import { x } from '../flags/live.ts';",
    "the controller's kube/ knows no domain",
  );
  breach(
    'services/controller/main.ts',
    "import { x } from '../cli/main.ts';",
    'a process never imports another process',
  );
  breach(
    'services/api/routes/sales.ts',
    "import express from 'express';",
    'express only in platform/http and an app.ts',
  );
  breach('services/domain/sales/store.ts', "import pg from 'pg';", 'pg only in platform/db');
  breach('services/api/main.ts', 'const port = process.env.PORT;', 'process.env is read only in platform/config');
  breach(
    'services/domain/sales/service.ts',
    "statement<{ id: string }>('a', 'select 1')",
    'SQL of a module lives in its store.ts',
  );

  it('finds a cycle between modules', () => {
    const found = importViolations([
      { path: 'services/domain/a/x.ts', text: "import { y } from '#domain/b/index.ts';" },
      { path: 'services/domain/b/y.ts', text: "import { x } from '#domain/a/index.ts';" },
    ]);
    assert.deepEqual(show(found), ['domain/a: domain modules have no cycles (domain/a -> domain/b -> domain/a)']);
  });

  it('finds a table that two modules name', () => {
    const found = tableViolations([
      { path: 'services/domain/a/store.ts', text: 'select x from app.orders' },
      { path: 'services/domain/b/store.ts', text: 'update app.orders set x = 1' },
    ]);
    assert.equal(found.length, 1);
  });
});
