import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Records, SandboxLog } from './records.ts';

/** A kind of record the sandbox keeps. */
export type Kind = keyof Records;

/**
 * What the sandbox remembers: one map a kind, in order of creation. With a file, every change is one appended JSON
 * line written before the request that caused it is answered, so that `kill -9` forgets nothing that was answered;
 * the file is rewritten (to a temporary name, then renamed) at start, keeping the last line of each record.
 */
export type Store = {
  get<K extends Kind>(kind: K, id: string): Records[K] | undefined;
  /** All records of a kind, oldest first. */
  all<K extends Kind>(kind: K): Records[K][];
  put<K extends Kind>(kind: K, record: Records[K]): Records[K];
  remove(kind: Kind, id: string): void;
  clear(kinds?: readonly Kind[]): void;
  close(): void;
};

type Line = { k: string; r?: { id: string }; d?: string };

/** Opens the store; `file` absent = in memory only. A line torn by a crash is dropped with a warning. */
export function openStore({ file, log }: { file?: string | undefined; log: SandboxLog }): Store {
  const maps = new Map<string, Map<string, { id: string }>>();
  const mapOf = (kind: string) => {
    const found = maps.get(kind) ?? new Map<string, { id: string }>();
    maps.set(kind, found);
    return found;
  };
  let descriptor = file ? reopen(file, mapOf, maps, log) : undefined;
  const write = (line: Line) => {
    if (descriptor !== undefined) writeSync(descriptor, `${JSON.stringify(line)}\n`);
  };

  return {
    get: <K extends Kind>(kind: K, id: string) => mapOf(kind).get(id) as Records[K] | undefined,
    all: <K extends Kind>(kind: K) => [...mapOf(kind).values()] as Records[K][],
    put(kind, record) {
      mapOf(kind).set(record.id, record);
      write({ k: kind, r: record });
      return record;
    },
    remove(kind, id) {
      if (mapOf(kind).delete(id)) write({ k: kind, d: id });
    },
    clear(kinds) {
      for (const kind of kinds ?? [...maps.keys()]) {
        for (const id of mapOf(kind).keys()) write({ k: kind, d: id });
        mapOf(kind).clear();
      }
    },
    close() {
      if (descriptor !== undefined) closeSync(descriptor);
      descriptor = undefined;
    },
  };
}

function reopen(
  file: string,
  mapOf: (kind: string) => Map<string, { id: string }>,
  maps: Map<string, Map<string, { id: string }>>,
  log: SandboxLog,
): number {
  mkdirSync(dirname(file), { recursive: true });
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  for (const [index, text] of lines.entries()) {
    if (text === '') continue;
    try {
      const line = JSON.parse(text) as Line;
      if (line.r) mapOf(line.k).set(line.r.id, line.r);
      else if (line.d) mapOf(line.k).delete(line.d);
    } catch {
      log.warn('sandbox state: a torn line was dropped', { file, line: index + 1 });
    }
  }
  const temporary = `${file}.tmp`;
  const fresh = openSync(temporary, 'w', 0o600);
  for (const [kind, records] of maps) {
    const kept = [...records.values()].map((record) => `${JSON.stringify({ k: kind, r: record })}\n`);
    // In pieces: one text of a large state could be longer than a string may be.
    for (let at = 0; at < kept.length; at += 1000) writeSync(fresh, kept.slice(at, at + 1000).join(''));
  }
  fsyncSync(fresh);
  closeSync(fresh);
  renameSync(temporary, file);
  return openSync(file, 'a', 0o600);
}
