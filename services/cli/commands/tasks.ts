import {
  listTaskRuns,
  showTaskRun,
  TASK_NAMES,
  TASKS,
  type TaskRun,
  type TaskStatus,
  taskOf,
} from '#domain/operations/index.ts';
import { fail } from '#platform/errors/index.ts';
import { type Command, EXIT, UsageError } from '../command.ts';
import { withOps } from './ops-db.ts';
import { timeOption } from './time-option.ts';

const STATUSES = ['running', 'succeeded', 'failed', 'missed'] as const satisfies readonly TaskStatus[];
const NOTES =
  'Connects as klar_ops with DATABASE_URL_OPS or DATABASE_URL. Times are ISO 8601 (2026-05-01T10:00:00Z) or an age ' +
  'like 90m, 24h, 7d.';

function limitOf(value: unknown): number {
  const limit = value === undefined ? 50 : Number(value);
  if (!/^\d+$/.test(String(value ?? 50)) || limit < 1 || limit > 200) {
    throw new UsageError(`--limit cannot be "${value}".`, 'It is a whole number from 1 to 200.');
  }
  return limit;
}

const seconds = (run: TaskRun): string =>
  run.finished_at === null || run.status === 'missed'
    ? '-'
    : `${((run.finished_at.getTime() - run.started_at.getTime()) / 1_000).toFixed(1)}s`;

const line = (run: TaskRun): string =>
  [
    run.id,
    run.started_at.toISOString(),
    run.status.padEnd(9),
    run.task.padEnd(14),
    (run.scheduled_for?.toISOString().slice(0, 16) ?? 'by hand').padEnd(16),
    seconds(run),
    ...(run.attempt > 1 ? [`(attempt ${run.attempt})`] : []),
    ...(run.error === null ? [] : [run.error]),
  ].join('  ');

/** `klar tasks list`: runs, newest first, a page at a time. */
export const tasksList: Command = {
  options: {
    task: { type: 'string', multiple: true, choices: TASK_NAMES, description: 'Only of this task' },
    status: { type: 'string', multiple: true, choices: STATUSES, description: 'Only with this status' },
    since: { type: 'string', value: 'time', description: 'Started at or after' },
    until: { type: 'string', value: 'time', description: 'Started before' },
    limit: { type: 'string', value: 'n', description: 'Runs a page, 1 to 200 (default 50)' },
    before: { type: 'string', value: 'id', description: 'Next page: the next_before of the last one' },
  },
  notes: NOTES,
  async run(input) {
    const { options } = input;
    const limit = limitOf(options.limit);
    const filter = {
      tasks: options.task as string[] | undefined,
      statuses: options.status as TaskStatus[] | undefined,
      since: timeOption('since', options.since),
      until: timeOption('until', options.until),
    };
    const before = options.before === undefined ? null : String(options.before);
    const rows = await withOps(input, async (db) => {
      // An unknown id would be an empty page, which reads like "nothing ran".
      if (before !== null && (await showTaskRun(db, before)) === undefined) throw notFound(before);
      return listTaskRuns(db, filter, { before, limit: limit + 1 });
    });
    const shown = rows.slice(0, limit);
    const next = rows.length > limit ? (shown.at(-1)?.id ?? null) : null;
    input.answer({ data: shown, next_before: next }, [
      ...(shown.length === 0 ? ['No runs.'] : shown.map(line)),
      ...(next === null ? [] : [`More: klar tasks list --before ${next}`]),
    ]);
    return EXIT.ok;
  },
};

/** `klar tasks show`: one run with its detail, or what a task is and how its last runs did. */
export const tasksShow: Command = {
  arguments: [{ name: 'id', description: `A run (run_...), or a task: ${TASK_NAMES.join(', ')}` }],
  notes: NOTES,
  async run(input) {
    const id = input.arguments[0] ?? '';
    if (Object.hasOwn(TASKS, id)) {
      const task = taskOf(id as keyof typeof TASKS);
      const runs = await withOps(input, (db) => listTaskRuns(db, { tasks: [id] }, { before: null, limit: 10 }));
      input.answer({ name: id, ...task, runs }, [
        ...Object.entries(task).map(([name, value]) => `${name.padEnd(12)} ${value}`),
        '',
        ...(runs.length === 0 ? ['It never ran.'] : runs.map(line)),
      ]);
      return EXIT.ok;
    }
    const run = await withOps(input, (db) => showTaskRun(db, id));
    if (run === undefined) throw notFound(id);
    input.answer(run, [
      ...Object.entries(run)
        .filter(([name]) => name !== 'detail')
        .map(([name, value]) => `${name.padEnd(14)} ${value instanceof Date ? value.toISOString() : (value ?? '-')}`),
      'detail',
      JSON.stringify(run.detail, null, 2),
    ]);
    return EXIT.ok;
  },
};

const notFound = (id: string) => fail.notFound('run_not_found', `There is no run or task "${id}".`);
