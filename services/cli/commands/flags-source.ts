import { execFile } from 'node:child_process';
import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { compileLive, FLAGS, LIVE_FILE, parseLive, readableDocument } from '#domain/flags/index.ts';
import { fail } from '#platform/errors/index.ts';

/** A document that can be written back: a file, or the source ConfigMap of a cluster. */
export type FlagSource = {
  /** For people. */
  place: string;
  text: string;
  /** @throws conflict `flags_changed` when somebody changed it since it was read */
  write(text: string, more: { version: string; acceptShrink: boolean; by: string }): Promise<void>;
  /** What became of it; undefined while that is not known, and for a file. */
  outcome(version: string): Promise<{ ok: boolean; text: string } | undefined>;
};

export async function fileSource(file: string): Promise<FlagSource> {
  const place = path.resolve(file);
  const text = await readFile(place, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw fail.notFound('flags_unreadable', `${place} cannot be read (${error.code ?? error}). Name it with --file.`);
  });
  return {
    place,
    text,
    async write(next) {
      if ((await readFile(place, 'utf8')) !== text) throw changed(place);
      // Beside and renamed: a process that watches it sees the old one or the new one.
      await writeFile(`${place}.new`, next);
      await rename(`${place}.new`, place);
    },
    outcome: async () => undefined,
  };
}

const changed = (place: string) =>
  fail.conflict('flags_changed', `${place} was changed by somebody else in between. Run the command again.`);

type ConfigMap = {
  metadata: { annotations?: Record<string, string> };
  data?: Record<string, string>;
};
type Condition = { type: string; status: string; message: string };

/** By kubectl, with the credentials that the person has anyway: `klar` holds none for a cluster. */
export async function clusterSource(input: {
  name: string;
  namespace: string | undefined;
  /** Begin with what is in use, whatever stands in the source. */
  fromLive: boolean;
}): Promise<FlagSource> {
  const space = input.namespace === undefined ? [] : ['-n', input.namespace];
  const source = `${input.name}-flags-source`;
  const get = async (name: string) =>
    JSON.parse(await kubectl([...space, 'get', 'configmap', name, '-o', 'json'])) as ConfigMap;
  const map = await get(source);
  const found = map.data?.['flags.yaml'] === undefined ? 'flags.json' : 'flags.yaml';
  const { key, text } = input.fromLive
    ? liveDocument(await get(`${input.name}-flags`), `${input.name}-flags`)
    : { key: found, text: map.data?.[found] ?? '' };
  return {
    place: `ConfigMap ${source}, ${key}`,
    text,
    async write(next, { version, acceptShrink, by }) {
      const { 'flags.yaml': _yaml, 'flags.json': _json, ...others } = map.data ?? {};
      const data = { ...others, [key]: next, ...(acceptShrink ? { 'accept-shrink': version } : {}) };
      const annotations = { ...map.metadata.annotations, 'klar.io/changed-by': `${version} ${by}` };
      const body = { ...map, metadata: { ...map.metadata, annotations }, data };
      // With the resourceVersion that was read: replacing what somebody else wrote meanwhile is refused.
      await kubectl([...space, 'replace', '-f', '-'], JSON.stringify(body)).catch((error: Error) => {
        throw /the object has been modified/.test(error.message) ? changed(source) : error;
      });
    },
    async outcome(version) {
      const { data } = await get(`${input.name}-flags-status`);
      const conditions = JSON.parse(data?.conditions ?? '[]') as Condition[];
      const of = (type: string) => conditions.find((one) => one.type === type);
      const [valid, distributed] = [of('SourceValid'), of('Distributed')];
      if (valid?.status === 'False') return { ok: false, text: valid.message };
      if (data?.version !== version || distributed?.status !== 'True') return undefined;
      return { ok: true, text: distributed.message };
    },
  };
}

function liveDocument({ data }: ConfigMap, name: string): { key: string; text: string } {
  const live = parseLive(data?.[LIVE_FILE] ?? '');
  if (live && compileLive(live, FLAGS).ok) return readableDocument(live);
  throw fail.unprocessable(
    'flags_live_invalid',
    `ConfigMap ${name} holds no good set. Delete it, the controller makes it again; or mend the source by kubectl edit.`,
  );
}

function kubectl(args: readonly string[], input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      'kubectl',
      [...args],
      { maxBuffer: 16 * 1024 * 1024, timeout: 30_000 },
      (error, out, err) => {
        if (!error) return resolve(out);
        const said = err.trim() || error.message;
        reject(fail.badGateway('kubectl_failed', `kubectl ${args.slice(0, 4).join(' ')}: ${said}`, { cause: error }));
      },
    );
    // One that ends before it has read everything says why by itself.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input ?? '');
  });
}
