/** One table whose rows are in a dump: what `pg_restore --list` says of it. */
export interface ArchivedTable {
  schema: string;
  name: string;
  /** Its number in the archive, which is also the name of its file: `<entry>.dat.gz`. */
  entry: number;
}

// 3456; 0 16389 TABLE DATA app courses klar_owner
const TABLE_DATA = /^(\d+); \d+ \d+ TABLE DATA (\S+) (.+) \S+$/;

/** The tables with data in the list of an archive. */
export function tablesInList(list: string): ArchivedTable[] {
  const tables: ArchivedTable[] = [];
  for (const line of list.split('\n')) {
    const match = TABLE_DATA.exec(line);
    if (match) tables.push({ entry: Number(match[1]), schema: match[2] ?? '', name: match[3] ?? '' });
  }
  return tables;
}

/**
 * What a dump lacks of the tables that were counted, in words; undefined when it lacks nothing.
 * @param files names in the dump's folder
 */
export function lackOf(
  counted: readonly { schema: string; name: string; rows: number }[],
  archived: readonly ArchivedTable[],
  files: readonly string[],
): string | undefined {
  if (archived.length === 0) return 'it holds no table';
  if (counted.length === 0) return 'the database has no table of Klar';
  const there = new Map(archived.map(({ schema, name, entry }) => [`${schema}.${name}`, entry]));
  const names = new Set(files);
  for (const { schema, name } of counted) {
    const entry = there.get(`${schema}.${name}`);
    if (entry === undefined) return `${schema}.${name} is not in it`;
    if (![`${entry}.dat`, `${entry}.dat.gz`].some((file) => names.has(file)))
      return `the rows of ${schema}.${name} are not in it`;
  }
  return undefined;
}
