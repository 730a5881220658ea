import { type FSWatcher, watch } from 'node:fs';
import path from 'node:path';
import type { SecretControl } from './secret.ts';
import { type FileSource, readSecretFiles } from './secret-files.ts';

export type SecretEvent = { name: string; change: 'loaded' | 'kept'; problem?: string; generations?: string[] };

/** Slower than this and a rotation's barrier waits; inotify does not see every network or overlay file system. */
const POLL_MS = 1_000;
/** Two equal readings this far apart: a writer that is not atomic is seen half-way by one of them. */
const SETTLE_MS = 50;

/**
 * Reloads secrets when their files change. A broken, empty or vanished file keeps the last good value and is
 * reported once, until it changes again.
 */
export function watchSecrets(
  watched: { source: FileSource; control: SecretControl }[],
  report: (event: SecretEvent) => void,
): { close(): void; checkNow(): void } {
  const complaints = new Map<string, string>();
  const watchers: FSWatcher[] = [];

  function look(item: (typeof watched)[number], pending?: string): void {
    const { name } = item.source;
    const reading = readSecretFiles(item.source);
    if (!reading.ok) {
      if (complaints.get(name) !== reading.problem) {
        complaints.set(name, reading.problem);
        report({ name, change: 'kept', problem: reading.problem });
      }
      return;
    }
    complaints.delete(name);
    const seen = JSON.stringify(reading.values);
    if (seen === JSON.stringify(item.control.secret.accepted())) return;
    if (seen !== pending) {
      setTimeout(() => look(item, seen), SETTLE_MS).unref();
      return;
    }
    if (item.control.replace(reading.values)) {
      report({ name, change: 'loaded', generations: reading.values.map((v) => v.generation) });
    }
  }
  const checkNow = () => {
    for (const item of watched) look(item);
  };
  const timer = watched.length > 0 ? setInterval(checkNow, POLL_MS).unref() : undefined;
  for (const item of watched) {
    const { at } = item.source;
    try {
      const watcher = watch('dir' in at ? at.dir : path.dirname(at.file), { persistent: false }, () => look(item));
      watcher.on('error', () => watcher.close()); // polling goes on
      watchers.push(watcher);
    } catch {
      // No inotify here, or no watches left: polling finds the change within a second.
    }
  }
  return {
    checkNow,
    close() {
      clearInterval(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}
