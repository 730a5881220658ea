import { MAX_BYTES } from '#domain/flags/index.ts';
import type { ConfigMap } from '../kube/status.ts';

/** What somebody wants the flags to be: the one document of the source ConfigMap. */
export type Source =
  | { state: 'absent' }
  | { state: 'unusable'; problem: string }
  | { state: 'document'; text: string; acceptShrink: string | undefined; changedBy: string | undefined };

export const DOCUMENT_KEYS = ['flags.yaml', 'flags.json'] as const;
export const ACCEPT_SHRINK = 'accept-shrink';
/** `<version> <who>`: `klar flags set` writes both, so that a later edit by hand is not taken for that person's. */
export const CHANGED_BY = 'klar.io/changed-by';

export function readSource(map: ConfigMap | undefined): Source {
  if (!map) return { state: 'absent' };
  const keys = DOCUMENT_KEYS.filter((key) => map.data?.[key] !== undefined);
  const [key] = keys;
  if (key === undefined || keys.length > 1) {
    const found = keys.length > 1 ? 'has both flags.yaml and flags.json' : 'has neither flags.yaml nor flags.json';
    return { state: 'unusable', problem: `${found}. Keep the document in one of them.` };
  }
  const text = map.data?.[key] ?? '';
  // The live one holds the same and a few bytes more, in an object of at most 1 MiB.
  if (Buffer.byteLength(text) > MAX_BYTES - 512) {
    return { state: 'unusable', problem: `${key} is too long. Keep it below ${MAX_BYTES - 512} bytes.` };
  }
  return {
    state: 'document',
    text,
    acceptShrink: map.data?.[ACCEPT_SHRINK]?.trim(),
    changedBy: map.metadata.annotations?.[CHANGED_BY],
  };
}

/** Who changed the source to this version, if they said so. */
export function authorOf(source: Source, version: string): string | undefined {
  const [of, ...who] = (source.state === 'document' ? (source.changedBy ?? '') : '').split(' ');
  return of === version && who.length > 0 ? who.join(' ').slice(0, 200) : undefined;
}
