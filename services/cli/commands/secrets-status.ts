import { type RotationRow, rotationStore, sayDuration } from '#domain/secrets/index.ts';
import { fail } from '#platform/errors/index.ts';
import { type Command, EXIT } from '../command.ts';
import { withOps } from './ops-db.ts';
import { nameOf, shown } from './rotate.ts';

const LAST = 5;

/** `klar secrets status`: what the controller knows of each secret, or the history of one. Never a value. */
export const secretsStatus: Command = {
  arguments: [{ name: 'secret?', description: 'Only this one, with its rotations and what happened in the last' }],
  notes: 'Read from the database, where the controller writes it. Generations name values; no value is kept there.',
  async run(input) {
    const only = input.arguments[0] === undefined ? undefined : nameOf(input.arguments[0]);
    const seen = await withOps(input, (db) =>
      db.withTx(async (tx) => ({
        now: await rotationStore.now(tx),
        states: await rotationStore.states(tx),
        running: await rotationStore.running(tx),
        last: only === undefined ? [] : await rotationStore.latest(tx, only, LAST),
      })),
    );
    const states = seen.states.filter(({ secret }) => only === undefined || secret === only);
    if (only !== undefined && states.length === 0 && seen.last.length === 0) {
      throw fail.notFound(
        'secret_unknown',
        `The controller has not seen ${only}: is it running, and is the secret there?`,
      );
    }
    const age = (since: Date) => sayDuration((seen.now.getTime() - since.getTime()) / 1_000);
    const rows = states.map((state) => ({
      secret: state.secret,
      kind: state.kind,
      generation: state.generation,
      since: state.since,
      due_at: state.dueAt,
      overdue: state.dueAt !== null && state.dueAt < seen.now,
      reason: state.reason,
      message: state.message,
      rotation: runningOf(seen.running, state.secret),
    }));
    const lines = rows.map(({ secret, kind, generation, since, due_at, overdue, reason, message, rotation }) =>
      [
        secret.padEnd(28),
        kind.padEnd(15),
        generation.padEnd(9),
        age(since).padStart(7),
        `  due ${due_at?.toISOString().slice(0, 10) ?? '-'}${overdue ? ' OVERDUE' : ''}`,
        `  ${rotation ? `${rotation.step}: ` : ''}${reason}${message ? ` (${message})` : ''}`,
      ].join(' '),
    );
    if (only === undefined) {
      input.answer({ secrets: rows }, lines.length > 0 ? lines : 'The controller has written nothing yet.');
      return EXIT.ok;
    }
    const [newest] = seen.last;
    const history = newest
      ? await withOps(input, (db) => db.withTx((tx) => rotationStore.history(tx, newest.id), { readOnly: true }))
      : [];
    input.answer({ ...rows[0], secret: only, rotations: seen.last.map(shown), history }, [
      ...lines,
      ...seen.last.map(
        (row) =>
          `${row.id}  ${row.startedAt.toISOString()}  ${row.outcome ?? row.step}${row.emergency ? '  emergency' : ''}  ${row.from} -> ${row.to ?? '?'}  by ${row.startedBy}${row.reason ? `: ${row.reason}` : ''}`,
      ),
      ...history.map(
        ({ at, step, event, note }) => `  ${at.toISOString()}  ${step.padEnd(12)} ${event.padEnd(6)} ${note ?? ''}`,
      ),
    ]);
    return EXIT.ok;
  },
};

function runningOf(running: readonly RotationRow[], secret: string) {
  const row = running.find((one) => one.secret === secret);
  return row ? shown(row) : null;
}
