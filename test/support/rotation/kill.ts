import assert from 'node:assert/strict';
import { STEPS } from '#domain/secrets/index.ts';
import { SEEDS } from '../../crash/seeds.ts';
import { until } from '../until.ts';
import { KILLS, type Stage } from './stage.ts';

/** In the order of the rotation, so that each is reached by the process that waits for it. */
const inOrder = (step: string) => (STEPS as readonly string[]).indexOf(step.split('.')[1] ?? '');
const places = [...KILLS].sort((a, b) => inOrder(a) - inOrder(b) || rank(a) - rank(b));
function rank(place: string): number {
  return ['begin', 'half', 'effect', 'record'].indexOf(place.split('.')[2] ?? '');
}

/**
 * Which places a run kills at. With a share of the seeds it is a share of the places, other ones for each secret: the kinds
 * walk the same machine, so that together they are killed at every place.
 */
function chosen(secret: string): readonly string[] {
  const every = Math.max(1, Math.min(3, Math.floor(20 / SEEDS)));
  return places.filter((_, index) => (index + secret.length) % every === 0);
}

/** Kills the reconciler at the places of one rotation (all, with all seeds), and lets the last one finish. */
export async function killEverywhere(
  stage: Stage,
  secret: string,
  kills: readonly string[] = chosen(secret),
): Promise<void> {
  const asked = await stage.ask(secret);
  const left = new Set(kills);
  while (left.size > 0) {
    const [point = ''] = left;
    const victim = stage.reconciler(point);
    const how = await Promise.race([
      victim.exited,
      // A point that lies behind: an earlier kill was at a later place.
      until(async () => (await stage.latest(secret))?.outcome, { timeoutMs: 60_000, everyMs: 50, what: point }),
    ]).catch(async (error) => {
      const row = await stage.latest(secret);
      throw new Error(`${point}: ${row?.step} ${row?.waiting}\n${victim.output()}`, { cause: error });
    });
    assert.equal(how, 'SIGKILL', `${point}: ${how}\n${victim.output()}`);
    left.delete(point);
  }
  const heir = stage.reconciler();
  assert.equal(await stage.ended(secret), 'done', heir.output());
  assert.equal((await stage.answer(asked)).accepted, true);
  await heir.kill();
  const history = await stage.history(secret);
  const acted = history.filter((line) => line.includes(' acted')).map((line) => line.split(' ')[0]);
  assert.deepEqual(acted, [...STEPS], 'every step, once, in order');
  assert.deepEqual(Object.keys(await stage.slots(secret)), ['current']);
}
