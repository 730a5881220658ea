import assert from 'node:assert/strict';
import { fakeClock } from '#platform/clock/index.ts';
import { createRedactor, silentLogger } from '#platform/log/index.ts';
import { applyObject } from '../../../services/controller/kube/apply.ts';
import { createKubeClient, type KubeClient } from '../../../services/controller/kube/client.ts';
import { isConflict } from '../../../services/controller/kube/errors.ts';
import { createEventRecorder, type EventNote } from '../../../services/controller/kube/events.ts';
import type { KubeObject } from '../../../services/controller/kube/objects.ts';
import { type ConfigMap, createStatusWriter } from '../../../services/controller/kube/status.ts';
import { until } from '../../support/until.ts';
import { type FakeTiming, fakeTiming } from '../../unit/controller/fake-timing.ts';
import { type FakeKube, startFakeKube } from './fake-kube.ts';

const MAPS = '/api/v1/namespaces/klar/configmaps';
const EVENTS = '/apis/events.k8s.io/v1/namespaces/klar/events';
const SECRET = 'hunter2-hunter2-hunter2';
const redactor = createRedactor(() => [SECRET]);
const redact = (text: string) => String(redactor(text));

describe('writes to the API server', () => {
  let fake: FakeKube;
  let client: KubeClient;
  beforeEach(async () => {
    fake = await startFakeKube();
    client = createKubeClient({
      endpoint: { server: fake.url, namespace: 'klar', credentials: async () => ({}) },
    });
  });
  afterEach(async () => {
    client.close();
    await fake.close();
  });
  const apply = (data: Record<string, string>, more: { resourceVersion?: string; fieldManager?: string } = {}) =>
    applyObject<ConfigMap>(client, {
      path: `${MAPS}/live`,
      object: {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'live', resourceVersion: 'of what was read', managedFields: [] } as KubeObject['metadata'],
        data,
      },
      fieldManager: 'klar-flags',
      ...more,
    });
  const data = (name: string) => fake.get(`${MAPS}/${name}`)?.data;

  describe('apply', () => {
    it("owns its fields only: its dropped ones go, another manager's stay", async () => {
      await apply({ theirs: '1' }, { fieldManager: 'somebody' });
      await apply({ ours: '1', old: '1' });
      await apply({ ours: '2' });
      assert.deepEqual(data('live'), { theirs: '1', ours: '2' });
    });

    it('is refused with a version that is not the newest, and sends none unasked', async () => {
      const made = await apply({ a: '1' });
      fake.put(`${MAPS}/live`, { ...fake.get(`${MAPS}/live`), data: { a: 'by hand' } });
      await assert.rejects(apply({ a: '2' }, { resourceVersion: made.metadata.resourceVersion ?? '' }), isConflict);
      assert.deepEqual(data('live'), { a: 'by hand' });
      await apply({ a: '2' });
      assert.deepEqual(data('live'), { a: '2' });
    });
  });

  describe('status', () => {
    const clock = fakeClock('2026-01-01T00:00:00Z');
    const writer = () =>
      createStatusWriter({ client, namespace: 'klar', name: 'status', fieldManager: 'klar', clock, redact });
    const invalid = {
      type: 'SourceValid',
      status: 'False',
      reason: 'Unreadable',
      message: `line 3 says ${SECRET}: remove it`,
      observedGeneration: 4,
    } as const;

    it('keeps conditions without secret values, and writes only what changed', async () => {
      await writer().write({ conditions: [invalid], data: { lagging: SECRET } });
      const [condition] = JSON.parse(data('status')?.conditions ?? '') as Record<string, unknown>[];
      assert.deepEqual(condition, {
        ...invalid,
        message: 'line 3 says [redacted]: remove it',
        lastTransitionTime: '2026-01-01T00:00:00.000Z',
      });
      assert.equal(data('status')?.lagging, '[redacted]');
      const version = fake.version();
      clock.advance(60_000);
      fake.requests.length = 0;
      await writer().write({ conditions: [invalid], data: { lagging: SECRET } });
      assert.equal(fake.version(), version);
      assert.deepEqual(
        fake.requests.map(({ method }) => method),
        ['GET'],
      );
    });

    it('drops conditions of what is not there any more, where those that are given are all', async () => {
      const types = () => (JSON.parse(data('status')?.conditions ?? '') as { type: string }[]).map(({ type }) => type);
      const secret = (type: string) => ({ ...invalid, type });
      await writer().write({ conditions: [secret('A.Healthy'), secret('B.Healthy')], whole: true });
      await writer().write({ conditions: [secret('A.Healthy')] });
      assert.deepEqual(types(), ['A.Healthy', 'B.Healthy']);
      await writer().write({ conditions: [secret('A.Healthy')], whole: true });
      assert.deepEqual(types(), ['A.Healthy']);
    });

    it('heals what somebody broke or deleted', async () => {
      await writer().write({ conditions: [invalid] });
      for (const conditions of ['{', '[1, {"type": 5}]', 'null']) {
        fake.put(`${MAPS}/status`, { metadata: { name: 'status' }, data: { conditions } });
        await writer().write({ conditions: [invalid] });
        assert.match(data('status')?.conditions ?? '', /"SourceValid"/);
      }
      fake.remove(`${MAPS}/status`);
      await writer().write({ conditions: [invalid] });
      assert.match(data('status')?.conditions ?? '', /"SourceValid"/);
    });

    it('is refused when another writer was faster', async () => {
      await writer().write({ conditions: [invalid] });
      let first = true;
      fake.fault = ({ method }) => {
        if (method === 'PATCH' && first) {
          first = false;
          fake.put(`${MAPS}/status`, { metadata: { name: 'status' }, data: {} });
        }
        return undefined;
      };
      const write = writer().write({ conditions: [{ ...invalid, status: 'True', reason: 'Parsed' }] });
      await assert.rejects(write, isConflict);
    });
  });

  describe('events', () => {
    let timing: FakeTiming;
    const recorder = (reportingInstance = 'pod-1') =>
      createEventRecorder({
        client,
        namespace: 'klar',
        reportingController: 'klar.io/controller',
        reportingInstance,
        clock: fakeClock('2026-01-01T00:00:00Z'),
        timing,
        log: silentLogger(),
        redact,
      });
    const note = (text: string): EventNote => ({
      regarding: { apiVersion: 'v1', kind: 'ConfigMap', name: 'flags', namespace: 'klar' },
      type: 'Warning',
      reason: 'Invalid',
      action: 'Parse',
      note: text,
    });
    const sent = (method: string) => fake.requests.filter((request) => request.method === method);
    beforeEach(() => {
      timing = fakeTiming();
    });

    it('say once what is said a hundred times, and count it once a minute', async () => {
      const events = recorder();
      for (let i = 0; i < 100; i++) events.record(note(`value ${SECRET} is no number`));
      await until(() => sent('POST').length === 1 && fake.version() > 1_000);
      const body = sent('POST')[0]?.body;
      assert.equal(body?.note, 'value [redacted] is no number');
      assert.equal(body?.eventTime, '2026-01-01T00:00:00.000000Z');
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(sent('PATCH').length, 0);
      await timing.advance(60_000);
      await until(() => sent('PATCH').length === 1);
      const series = sent('PATCH')[0];
      assert.equal((series?.body.series as { count: number } | undefined)?.count, 100);
      assert.ok(series?.url.pathname.startsWith(`${EVENTS}/flags-`));
      await events.stop();
      assert.equal(sent('PATCH').length, 1);
      assert.equal(timing.pending(), 0);
    });

    it('of a loop that goes wrong are bounded', async () => {
      const events = recorder();
      for (let i = 0; i < 1_000; i++) events.record(note(`no ${i}`));
      await events.stop();
      assert.equal(sent('POST').length, 25);
    });

    it('are at most 1024 bytes of note and 128 of instance, no character cut in two', async () => {
      const events = recorder('p'.repeat(127) + '\u00e9');
      events.record(note('\u00e9'.repeat(1_000)));
      events.record(note('\u{1f600}'.repeat(256)));
      await events.stop();
      const [long, whole] = sent('POST').map(({ body }) => body as { note: string; reportingInstance: string });
      assert.equal(long?.note, `${'\u00e9'.repeat(510)}...`);
      assert.equal(whole?.note, '\u{1f600}'.repeat(256));
      assert.ok(Buffer.byteLength(long?.reportingInstance ?? '') <= 128);
    });

    it('have a name that the API takes, whatever the object is called', async () => {
      const events = recorder();
      for (const name of ['flags', `${'x'.repeat(199)}.y`, 'a.b-.']) {
        events.record({ ...note(name), regarding: { ...note(name).regarding, name } });
      }
      await events.stop();
      for (const { body } of sent('POST')) {
        assert.match((body.metadata as { generateName: string }).generateName, /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?-$/);
      }
    });

    it('that cannot be written harm nobody, and are tried when they happen again', async () => {
      const events = recorder();
      fake.fault = () => ({ kind: 'answer', status: 403, reason: 'Forbidden' });
      events.record(note('x'));
      await until(() => sent('POST').length === 1);
      fake.fault = () => undefined;
      await until(() => {
        events.record(note('x'));
        return fake.version() > 1_000;
      });
      await events.stop();
    });
  });
});
