import { type Statement, statement, type Tx } from '#platform/db/index.ts';

/**
 * The statements better-auth asks for, built from its own description of a query: closed lists of tables and columns,
 * so that a name it makes up fails here and never reaches SQL. Each shape becomes one named statement, made once.
 */

/** better-auth's model and field names -> ours. */
const TABLES = {
  user: {
    table: 'auth.people',
    columns: {
      id: 'id',
      name: 'name',
      email: 'email',
      emailVerified: 'email_verified',
      image: 'image',
      twoFactorEnabled: 'two_factor_enabled',
      createdAt: 'created_at',
      updatedAt: 'updated_at',
    },
  },
  session: {
    table: 'auth.sessions',
    columns: {
      id: 'id',
      userId: 'person_id',
      token: 'token',
      ipAddress: 'ip_address',
      userAgent: 'user_agent',
      createdAt: 'created_at',
      updatedAt: 'updated_at',
      expiresAt: 'expires_at',
    },
  },
  account: {
    table: 'auth.accounts',
    columns: {
      id: 'id',
      userId: 'person_id',
      providerId: 'provider_id',
      accountId: 'account_id',
      password: 'password',
      accessToken: 'access_token',
      refreshToken: 'refresh_token',
      idToken: 'id_token',
      accessTokenExpiresAt: 'access_token_expires_at',
      refreshTokenExpiresAt: 'refresh_token_expires_at',
      scope: 'scope',
      createdAt: 'created_at',
      updatedAt: 'updated_at',
    },
  },
  verification: {
    table: 'auth.verifications',
    columns: {
      id: 'id',
      identifier: 'identifier',
      value: 'value',
      expiresAt: 'expires_at',
      createdAt: 'created_at',
      updatedAt: 'updated_at',
    },
  },
  twoFactor: {
    table: 'auth.two_factors',
    columns: {
      id: 'id',
      userId: 'person_id',
      secret: 'secret',
      backupCodes: 'backup_codes',
      verified: 'verified',
      failedVerificationCount: 'failed_verification_count',
      lockedUntil: 'locked_until',
    },
  },
} as const satisfies Record<string, { table: string; columns: Record<string, string> }>;

/** One condition; all of them must hold. */
export interface Condition {
  field: string;
  operator: string;
  value: unknown;
  connector?: string;
}

export type LibraryRow = Record<string, unknown>;

const OPERATORS: Record<string, string> = { eq: '=', ne: '<>', lt: '<', lte: '<=', gt: '>', gte: '>=' };

const made = new Map<string, Statement<LibraryRow>>();

/** The shape of a query is its name, so two shapes can never share a prepared statement. */
function named(name: string, text: string): Statement<LibraryRow> {
  let found = made.get(name);
  if (found === undefined) {
    found = statement<LibraryRow>(name, text);
    made.set(name, found);
  }
  return found;
}

class Query {
  readonly table: string;
  readonly values: unknown[] = [];
  readonly #columns: Record<string, string>;
  readonly #words: string[];

  constructor(verb: string, model: string) {
    const known = Object.hasOwn(TABLES, model) ? TABLES[model as keyof typeof TABLES] : undefined;
    if (known === undefined) throw new TypeError(`better-auth asked for the unknown model ${JSON.stringify(model)}`);
    this.table = known.table;
    this.#columns = known.columns;
    this.#words = [verb, known.table.replace('auth.', '')];
  }

  column(field: string): string {
    const found = Object.hasOwn(this.#columns, field) ? this.#columns[field] : undefined;
    if (found === undefined) throw new TypeError(`better-auth asked for the unknown field ${JSON.stringify(field)}`);
    return found;
  }

  get columns(): string {
    return Object.entries(this.#columns)
      .map(([field, column]) => `${column} as "${field}"`)
      .join(', ');
  }

  value(value: unknown): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }

  say(...words: string[]): void {
    this.#words.push(...words);
  }

  /** `where ...`, or nothing for no conditions. */
  where(conditions: readonly Condition[]): string {
    const parts = conditions.map(({ field, operator, value, connector }) => {
      if (connector === 'OR') throw new TypeError('better-auth asked for OR, which nothing here needs');
      const column = this.column(field);
      if (value === null) {
        if (operator !== 'eq' && operator !== 'ne') throw new TypeError(`${operator} null`);
        this.say(operator === 'eq' ? 'without' : 'with', column);
        return `${column} is ${operator === 'eq' ? '' : 'not '}null`;
      }
      this.say(operator === 'eq' ? 'by' : operator, column);
      if (operator === 'in') return `${column} = any(${this.value(value)})`;
      const sign = OPERATORS[operator];
      if (sign === undefined) throw new TypeError(`better-auth asked for the unknown operator ${operator}`);
      return `${column} ${sign} ${this.value(value)}`;
    });
    return parts.length === 0 ? '' : ` where ${parts.join(' and ')}`;
  }

  /** `column = $n, ...` */
  assignments(set: LibraryRow): string {
    const parts = Object.entries(set).map(([field, value]) => {
      this.say(this.column(field));
      return `${this.column(field)} = ${this.value(value)}`;
    });
    return parts.join(', ');
  }

  statement(text: string): Statement<LibraryRow> {
    return named(`identity.library_${this.#words.join('_')}`, text);
  }
}

export async function create(tx: Tx, model: string, data: LibraryRow): Promise<LibraryRow> {
  const q = new Query('insert', model);
  const fields = Object.keys(data);
  const columns = fields.map((field) => q.column(field));
  q.say(...columns);
  const values = fields.map((field) => q.value(data[field]));
  const text = `insert into ${q.table} (${columns.join(', ')}) values (${values.join(', ')}) returning ${q.columns}`;
  return tx.one(q.statement(text), q.values);
}

export interface FindInput {
  where: readonly Condition[];
  limit: number;
  offset?: number | undefined;
  sortBy?: { field: string; direction: 'asc' | 'desc' } | undefined;
}

export async function find(tx: Tx, model: string, input: FindInput): Promise<LibraryRow[]> {
  const q = new Query('find', model);
  let text = `select ${q.columns} from ${q.table}${q.where(input.where)}`;
  if (input.sortBy !== undefined) {
    const descending = input.sortBy.direction === 'desc';
    const column = q.column(input.sortBy.field);
    q.say('sorted', column, descending ? 'desc' : 'asc');
    text += ` order by ${column}${descending ? ' desc' : ''}`;
  }
  text += ` limit ${q.value(input.limit)} offset ${q.value(input.offset ?? 0)}`;
  return tx.rows(q.statement(text), q.values);
}

export async function count(tx: Tx, model: string, where: readonly Condition[]): Promise<number> {
  const q = new Query('count', model);
  const row = await tx.one(q.statement(`select count(*) as total from ${q.table}${q.where(where)}`), q.values);
  return Number(row.total);
}

export async function update(
  tx: Tx,
  model: string,
  where: readonly Condition[],
  set: LibraryRow,
): Promise<LibraryRow[]> {
  const q = new Query('update', model);
  const assignments = q.assignments(set);
  return tx.rows(q.statement(`update ${q.table} set ${assignments}${q.where(where)} returning ${q.columns}`), q.values);
}

/** Adds to counters and sets columns of one row, if it still fits `where`: selector and guard in one statement. */
export async function increment(
  tx: Tx,
  model: string,
  input: { where: readonly Condition[]; increment: Record<string, number>; set: LibraryRow },
): Promise<LibraryRow | undefined> {
  const q = new Query('increment', model);
  const parts = Object.entries(input.increment).map(([field, delta]) => {
    q.say('add', q.column(field));
    return `${q.column(field)} = ${q.column(field)} + ${q.value(delta)}`;
  });
  const assignments = q.assignments(input.set);
  if (assignments !== '') parts.push(assignments);
  return (
    await tx.rows(
      q.statement(`update ${q.table} set ${parts.join(', ')}${q.where(input.where)} returning ${q.columns}`),
      q.values,
    )
  )[0];
}

export async function remove(tx: Tx, model: string, where: readonly Condition[]): Promise<LibraryRow[]> {
  const q = new Query('delete', model);
  // An empty condition would empty the table; nothing here ever means that.
  if (where.length === 0) throw new TypeError('better-auth asked to delete everything');
  return tx.rows(q.statement(`delete from ${q.table}${q.where(where)} returning ${q.columns}`), q.values);
}
