import { equal, match, rejects } from 'node:assert/strict';
import { canonicalDocument, compileFlags, FLAGS, type LiveFlags } from '#domain/flags/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createFlagsReconcile } from '../../../services/controller/flags/reconcile.ts';
import { createKubeClient, type KubeClient } from '../../../services/controller/kube/client.ts';
import type { Term } from '../../../services/controller/kube/leader.ts';
import type { ControllerDeps } from '../../../services/controller/reconciler.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { json, sample } from '../../unit/flags/documents.ts';
import { type FakeKube, startFakeKube } from './fake-kube.ts';

const MAPS = '/api/v1/namespaces/klar/configmaps';
const SOURCE = `${MAPS}/klar-flags-source`;
const LIVE = `${MAPS}/klar-flags`;
const map = (name: string, data: Record<string, string>) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data,
});

describe('what a reconcile of flags does not do', function () {
  this.timeout(60_000);
  const { signal } = new AbortController();
  const term = { token: 1, signal, check: () => {}, refused: () => {} } satisfies Term;
  const over = {
    ...term,
    check: () => {
      throw new Error('the term is over');
    },
  };
  let database: TestDatabase;
  let kube: FakeKube;
  let client: KubeClient;
  let reconcile: ReturnType<typeof createFlagsReconcile>;
  let target: LiveFlags;

  before(async () => {
    database = await createTestDatabase();
    const compiled = compileFlags(json(sample()), FLAGS);
    if (!compiled.ok) throw new Error('bad sample');
    target = { sequence: 7, version: compiled.set.version, document: canonicalDocument(compiled.set.document) };
  });
  after(() => database.close());
  beforeEach(async () => {
    kube = await startFakeKube();
    client = createKubeClient({ endpoint: { server: kube.url, namespace: 'klar', credentials: async () => ({}) } });
    reconcile = createFlagsReconcile({
      client,
      namespace: 'klar',
      name: 'klar',
      lease: 'klar-controller',
      db: database.db('klar_controller'),
      clock: systemClock,
      log: silentLogger(),
    } as ControllerDeps);
  });
  afterEach(async () => {
    client.close();
    await kube.close();
  });
  const source = () => kube.put(SOURCE, map('klar-flags-source', { 'flags.json': json(sample()) }));
  const restore = async (by: Term) => {
    const { plan } = await reconcile.run({ source: undefined, live: undefined }, term);
    equal(plan.restoreSource, 'from-defaults');
    return reconcile.restoreSource(plan, by, signal);
  };

  it('it overwrites no source that a person made since it looked', async () => {
    source();
    await restore(term);
    equal(kube.get(SOURCE)?.data?.['flags.yaml'], undefined);
  });

  it('it makes no source in a term that is over', async () => {
    await rejects(restore(over), /the term is over/);
    equal(kube.get(SOURCE), undefined);
  });

  it('it writes no live ConfigMap in a term that is over', async () => {
    await rejects(reconcile.writeLive(target, undefined, over, signal), /the term is over/);
    equal(kube.get(LIVE), undefined);
  });

  it('it writes no live ConfigMap that somebody wrote since it looked', async () => {
    const seen = kube.put(LIVE, map('klar-flags', { 'live.json': '{}' }));
    kube.put(LIVE, map('klar-flags', { 'live.json': '{"later":true}' }));
    await rejects(reconcile.writeLive(target, seen, term, signal), /409/);
    match(kube.get(LIVE)?.data?.['live.json'] ?? '', /later/);
  });

  it('it writes no database in a term that is over by the clock', async () => {
    await rejects(reconcile.run({ source: source(), live: undefined }, over), /the term is over/);
    equal((await database.asSuperuser('select from ops.flag_sets')).length, 0);
  });
});
