import {
  EVENT_STATES,
  type EventFilter,
  type EventState,
  type EventView,
  listEvents,
  type OperatorVerb,
  type RequeueResult,
  readPayload,
  requeueEvents,
  showEvents,
} from '#domain/webhooks/index.ts';
import { fail } from '#platform/errors/index.ts';
import { type Command, type CommandInput, EXIT, type OptionSpec, UsageError } from '../command.ts';
import { operator } from '../operator.ts';
import { withOps } from './ops-db.ts';
import { timeOption } from './time-option.ts';

const NOTES =
  'Connects as klar_ops with DATABASE_URL_OPS or DATABASE_URL. Times are ISO 8601 (2026-05-01T10:00:00Z) or ' +
  'an age like 90m, 24h, 7d.';

const FILTERS: Record<string, OptionSpec> = {
  provider: { type: 'string', value: 'name', description: 'Only of this provider, e.g. stripe' },
  type: { type: 'string', value: 'type', description: 'Only of this event type, e.g. checkout.session.completed' },
  tenant: { type: 'string', value: 'id', description: 'Only of this school (ten_...)' },
  object: { type: 'string', value: 'id', description: "Only about this object of the provider's, e.g. cs_..." },
  since: { type: 'string', value: 'time', description: 'Received at or after' },
  until: { type: 'string', value: 'time', description: 'Received before' },
};

const actor = () => ({ kind: 'system' as const, id: operator() });

const word = (value: unknown): string | undefined => (value === undefined ? undefined : String(value));

function filterOf({ options }: CommandInput): EventFilter {
  return {
    provider: word(options.provider),
    type: word(options.type),
    tenantId: word(options.tenant),
    objectId: word(options.object),
    since: timeOption('since', options.since),
    until: timeOption('until', options.until),
  };
}

function count(name: string, value: unknown, fallback: number, most: number): number {
  if (value === undefined) return fallback;
  const number = Number(value);
  if (!/^\d+$/.test(String(value)) || number < 1 || number > most) {
    throw new UsageError(`--${name} cannot be "${value}".`, `It is a whole number from 1 to ${most}.`);
  }
  return number;
}

const line = (event: EventView): string =>
  [
    event.id,
    event.received_at,
    event.state.padEnd(9),
    event.type,
    event.event_id,
    event.tenant_id ?? '-',
    ...(event.last_error === null ? [] : [`(${event.attempts}x: ${event.last_error})`]),
  ].join('  ');

/** `klar webhooks list`: newest first, a page at a time. */
export const webhooksList: Command = {
  options: {
    state: { type: 'string', multiple: true, choices: EVENT_STATES, description: 'Only in this state' },
    ...FILTERS,
    limit: { type: 'string', value: 'n', description: 'Events a page, 1 to 200 (default 50)' },
    before: { type: 'string', value: 'id', description: 'Next page: the next_before of the last one' },
  },
  notes: NOTES,
  async run(input) {
    const limit = count('limit', input.options.limit, 50, 200);
    const states = input.options.state as EventState[] | undefined;
    const filter = { ...filterOf(input), states };
    const rows = await withOps(input, (db) =>
      listEvents(db, filter, { before: word(input.options.before) ?? null, limit: limit + 1 }),
    );
    const shown = rows.slice(0, limit);
    const next = rows.length > limit ? (shown.at(-1)?.id ?? null) : null;
    input.answer({ data: shown, next_before: next }, [
      ...(shown.length === 0 ? ['No events.'] : shown.map(line)),
      ...(next === null ? [] : [`More: klar webhooks list --before ${next}`]),
    ]);
    return EXIT.ok;
  },
};

/** `klar webhooks show`: one event, with `--raw` its payload. */
export const webhooksShow: Command = {
  arguments: [{ name: 'id', description: "Our id or the provider's" }],
  options: { raw: { type: 'boolean', description: 'Also the payload, which may hold personal data; audited' } },
  notes: NOTES,
  async run(input) {
    const found = await withOps(input, async (db) => {
      const events = await showEvents(db, input.arguments[0] ?? '');
      return Promise.all(
        events.map(async (event) => {
          if (input.options.raw !== true) return event;
          return { ...event, raw: (await readPayload(db, event, actor()))?.toString('utf8') };
        }),
      );
    });
    if (found.length === 0) throw fail.notFound('event_not_found', 'There is no such event.');
    input.answer(
      { data: found },
      found.flatMap((event) => [
        ...Object.entries(event).map(
          ([name, value]) => `${name.padEnd(16)} ${Array.isArray(value) ? value.join(' ') : value}`,
        ),
        '',
      ]),
    );
    return EXIT.ok;
  },
};

function told(result: RequeueResult): string[] {
  const skipped = [
    ...(result.skipped_state
      ? [`${result.skipped_state} skipped: not in a state to ${result.verb}, or too old to have a payload`]
      : []),
    ...(result.skipped_cooldown ? [`${result.skipped_cooldown} skipped: queued by hand moments ago`] : []),
    ...(result.limit_reached ? ['The limit was reached: there may be more.'] : []),
  ];
  const verb = result.dry_run ? 'would be queued again' : 'queued again';
  return [...result.queued, `${result.queued.length} ${verb}.`, ...skipped];
}

function requeue(verb: OperatorVerb, what: string): Command {
  return {
    arguments: [{ name: 'id...?', description: "Events by our id or the provider's; else select by the options" }],
    options: {
      ...FILTERS,
      'dry-run': { type: 'boolean', description: 'Only say which' },
      reason: { type: 'string', value: 'text', description: 'Why; kept in the audit log' },
      limit: { type: 'string', value: 'n', description: 'At most so many, 1 to 100000 (default 1000)' },
    },
    notes: `${what} Safe to repeat: the effect of an event is made once. ${NOTES}`,
    async run(input) {
      const dryRun = input.options['dry-run'] === true;
      const reason = String(input.options.reason ?? '').trim();
      if (reason === '' && !dryRun) throw fail.invalid('reason_required', 'Say why: --reason "handler fixed in 1.4".');
      const ids = input.arguments.length > 0 ? input.arguments : undefined;
      const filter = { ...filterOf(input), ids };
      const limit = count('limit', input.options.limit, 1_000, 100_000);
      const result = await withOps(input, (db) =>
        requeueEvents(db, { verb, filter, limit, dryRun, reason, actor: actor(), signal: input.signal }),
      );
      input.answer(result, told(result));
      return EXIT.ok;
    },
  };
}

export const webhooksReplay = requeue('replay', 'Queues events again that are done or were ignored.');
export const webhooksRedrive = requeue('redrive', 'Queues events again that are dead or unmatched.');
