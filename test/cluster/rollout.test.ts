import assert from 'node:assert/strict';
import { until } from '../support/until.ts';
import {
  allReady,
  CHART,
  clusterSettings,
  type Ended,
  helm,
  type Installation,
  imageValues,
  installation,
  isReady,
  kubectl,
  notRun,
  podsOf,
  podVersion,
  psql,
  purchaseJourney,
  sql,
  tryHelm,
} from './support/index.ts';
import { assertKept, assertNoneFailed, assertNoneRefused, underLoad } from './support/under-load.ts';

const { full, imageNext, imageBroken } = clusterSettings();
/** Turns of upgrade, failed upgrade and rollback. */
const ROUNDS = full ? 5 : 1;
/** Longer than a good upgrade takes on two cores; the failed one waits this long before it rolls back. */
const GIVE_UP = '75s';

/** helm's own list of `--set` for an image. */
const setImage = (reference: string) =>
  Object.entries(imageValues(reference)).flatMap(([key, value]) => ['--set', `image.${key}=${value}`]);

describe('upgrades under load', () => {
  let klar: Installation;
  before(async () => {
    klar = await installation();
  });
  after(async () => {
    // What the broken release's migration made, so that later files see the schema of their own release.
    await psql(`begin; drop table if exists app.of_the_broken_release;
      delete from ops.migrations where name like '9100%'; delete from ops.migration_checksums where name like '9100%'; commit`);
  });

  it('lose nothing: to a new version, to one that cannot start, and back', async function () {
    if (!imageNext) return notRun(this, 'KLAR_TEST_IMAGE_NEXT is not set');
    if (!imageBroken) return notRun(this, 'KLAR_TEST_IMAGE_BROKEN is not set');
    const first = await revision(klar.release);
    const before = await commitOf('api');
    const { outcome, spans } = await underLoad(ROUNDS * 300, async (during) => {
      for (let round = 1; round <= ROUNDS; round++) {
        await during(`upgrade ${round}`, () =>
          helm([
            'upgrade',
            klar.release,
            CHART,
            '-f',
            klar.valuesFile,
            ...setImage(imageNext),
            '--wait',
            '--timeout',
            '8m',
          ]),
        );
        const next = await until(() => commitOf('api').then((commit) => commit !== before && commit), {
          timeoutMs: 60_000,
          everyMs: 1_000,
          what: 'the new version is what runs',
        });

        const serving = async () => (await podsOf('api')).filter(isReady).map((pod) => pod.metadata.uid);
        const old = (await serving()).sort();
        const failed: Ended = await during(`broken upgrade ${round}`, () =>
          tryHelm([
            ...['upgrade', klar.release, CHART, '-f', klar.valuesFile, ...setImage(imageBroken)],
            ...['--rollback-on-failure', '--timeout', GIVE_UP],
          ]),
        );
        assert.notEqual(failed.code, 0, 'helm says that the upgrade failed');
        const [schema] = await sql<{ version: number }>('select ops.schema_version() as version');
        assert.equal(schema?.version, 9100, `the migration of the release that cannot start has run: ${failed.stderr}`);
        assert.equal((await status(klar.release)).info.status, 'deployed', 'it rolled back by itself');
        assert.deepEqual((await serving()).sort(), old, 'the old pods served and stayed ready on the new schema');
        assert.equal(await commitOf('api'), next);

        await during(`helm rollback ${round}`, () =>
          helm(['rollback', klar.release, String(first), '--wait', '--timeout', '8m']),
        );
        assert.equal(await commitOf('api'), before, 'the version from before is back');
      }
      await until(async () => (await podsOf('api')).length === 2, {
        timeoutMs: 90_000,
        everyMs: 500,
        what: 'old pods gone',
      });
    });
    assertKept(outcome);
    assertNoneFailed(outcome);
    assertNoneRefused(outcome, spans, []);
    await purchaseJourney();
  });

  // The upgrades above replace every pod twice: a short run has seen it.
  const inFull = full ? it : () => {};
  inFull('restart every process, one pod at a time, without a failed request', async () => {
    const { outcome, spans } = await underLoad(120, async (during) => {
      for (const name of ['api', 'webhook-ingest', 'worker']) {
        await during(`restart ${name}`, async () => {
          await kubectl(['rollout', 'restart', `deployment/${klar.release}-${name}`]);
          await kubectl(['rollout', 'status', `deployment/${klar.release}-${name}`, '--timeout=240s']);
          await allReady(name, 2);
        });
      }
    });
    assertKept(outcome);
    assertNoneFailed(outcome);
    assertNoneRefused(outcome, spans, []);
  });
});

interface Status {
  version: number;
  info: { status: string };
}

const status = async (release: string): Promise<Status> => JSON.parse(await helm(['status', release, '-o', 'json']));
const revision = async (release: string) => (await status(release)).version;

/** The commit that all ready pods of a component say they run. */
async function commitOf(component: string): Promise<string> {
  const pods = (await podsOf(component)).filter(isReady);
  const commits = await Promise.all(pods.map(async (pod) => (await podVersion(pod.metadata.name)).commit));
  assert.equal(new Set(commits).size, 1, `commits of ${component}: ${commits}`);
  return commits[0] as string;
}
