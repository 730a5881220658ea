import { setTimeout as pause } from 'node:timers/promises';
import { KINDS, kindFor, type RequestAction, type RotationRow, rotationStore, STEPS } from '#domain/secrets/index.ts';
import { didYouMean, SPEC } from '#platform/config/index.ts';
import { fail } from '#platform/errors/index.ts';
import { type Command, EXIT, UsageError } from '../command.ts';
import { operator } from '../operator.ts';
import { withOps } from './ops-db.ts';

/** The controller looks every second; without an answer by then none runs, or it does not reach the database. */
const ANSWER_MS = 30_000;

/** `klar rotate`: writes down what is wanted; the controller does it, and answers. */
export const rotate: Command = {
  arguments: [{ name: 'secret', description: 'Name of the setting, e.g. ADMIN_TOKEN' }],
  options: {
    emergency: {
      type: 'boolean',
      description: 'The value is known to others: wait for nobody who still uses it; hastens one that runs',
    },
    cancel: {
      type: 'boolean',
      description:
        'End the rotation that runs, before the new value is in use, or one whose secret is not ours any more',
    },
    rollback: { type: 'boolean', description: 'Go back, up to the point at which the old value begins to die' },
    reason: { type: 'string', value: 'text', description: 'Kept in the history; never put a value into it' },
    'dry-run': { type: 'boolean', description: 'Say what would happen and what it costs' },
    'no-wait': { type: 'boolean', description: 'Do not wait for the answer of the controller' },
  },
  notes:
    `Steps: ${STEPS.join(', ')}. Until retiring begins --rollback goes back.\n` +
    'The controller does it (in npm start the process itself); `klar secrets status <secret>` shows how far it is.',
  async run(input) {
    const { options, answer, say } = input;
    const secret = nameOf(input.arguments[0] ?? '');
    const emergency = options.emergency === true;
    const action = actionOf(options);
    if (emergency && action !== 'rotate')
      throw new UsageError('--emergency is for a rotation.', 'klar rotate <secret> --emergency');
    const cost = KINDS[kindFor(secret)].emergencyCost;
    if (emergency) say(`An emergency rotation waits for nobody. Its cost: ${cost}`);
    if (options['dry-run'] === true) {
      const plan = await withOps(input, (db) =>
        db.withTx(async (tx) => ({
          state: (await rotationStore.states(tx)).find((one) => one.secret === secret),
          running: (await rotationStore.running(tx)).find((one) => one.secret === secret),
        })),
      );
      const { state, running } = plan;
      const kind = state?.kind ?? kindFor(secret);
      answer(
        {
          secret,
          action,
          kind,
          emergency,
          cost: emergency ? cost : null,
          steps: STEPS,
          running: running ? shown(running) : null,
          state: state?.reason ?? null,
        },
        [
          `${secret} (${kind})${state ? `, generation ${state.generation}: ${state.message}` : ': the controller has not seen it'}`,
          running ? `${running.id} runs already: ${running.step}` : `Would ${action}: ${STEPS.join(' -> ')}`,
          `An emergency rotation costs: ${cost}`,
        ],
      );
      return EXIT.ok;
    }
    const reason = (options.reason as string | undefined) ?? null;
    if (reason !== null && reason.length > 500)
      throw new UsageError('--reason is longer than 500 characters.', 'Say it shorter.');
    return withOps(input, async (db) => {
      const row = { secret, action, emergency, reason, requestedBy: operator() };
      const { id } = await db.withTx((tx) => rotationStore.ask(tx, row));
      if (options['no-wait'] === true) {
        answer({ request: id, answered: false }, `Asked: ${id}`);
        return EXIT.ok;
      }
      const until = performance.now() + ANSWER_MS;
      for (;;) {
        const now = await db.withTx((tx) => rotationStore.request(tx, id), { readOnly: true });
        if (now?.takenAt) {
          answer(
            { request: id, answered: true, accepted: now.accepted, answer: now.answer },
            `${now.accepted ? 'Yes' : 'No'}: ${now.answer}`,
          );
          return now.accepted ? EXIT.ok : EXIT.failed;
        }
        if (performance.now() > until || input.signal.aborted) {
          throw fail.unavailable(
            'controller_silent',
            `${id} is written down, and nobody has taken it: is the controller running? It is taken when it does.`,
          );
        }
        await pause(250);
      }
    });
  },
};

function actionOf(options: Record<string, unknown>): RequestAction {
  if (options.cancel === true && options.rollback === true) {
    throw new UsageError(
      '--cancel and --rollback exclude each other.',
      'Take --rollback once the new value is in use.',
    );
  }
  return options.cancel === true ? 'cancel' : options.rollback === true ? 'rollback' : 'rotate';
}

/** @throws UsageError for what is no secret setting */
export function nameOf(name: string): string {
  const secrets = Object.entries(SPEC).flatMap(([key, row]) => (row.secret ? [key] : []));
  if (secrets.includes(name)) return name;
  const meant = didYouMean(name, secrets);
  throw new UsageError(
    `${name || 'Nothing'} is no secret setting.`,
    meant ? `Did you mean ${meant}?` : 'See klar secrets status.',
  );
}

export const shown = (row: RotationRow) => ({
  id: row.id,
  secret: row.secret,
  kind: row.kind,
  step: row.step,
  outcome: row.outcome,
  emergency: row.emergency,
  from_generation: row.from,
  to_generation: row.to,
  started_at: row.startedAt,
  started_by: row.startedBy,
  reason: row.reason,
  step_since: row.stepSince,
  finished_at: row.finishedAt,
  waiting: row.waiting,
});
