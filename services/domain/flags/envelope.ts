import { compileFlags, type FlagSet } from './flag-set.ts';
import type { CodeFlag } from './flags.ts';
import { at, type FlagProblem } from './problem.ts';

/** A set as the controller hands it out: `document` is the canonical one, `sequence` says which of two is the later. */
export type LiveFlags = { sequence: number; version: string; document: string };

/** What was read: the flags, with their place among other sets when the controller gave them one, or what is wrong. */
export type Reading = { ok: true; set: FlagSet; sequence?: number } | { ok: false; problems: FlagProblem[] };

/**
 * The controller's file in each pod, and the key of its ConfigMap. From a file of this name only a set with a sequence is
 * taken: a ConfigMap that somebody edited to a bare document would otherwise be a document of one's own, which silences the
 * database, in every pod at once.
 */
export const LIVE_FILE = 'live.json';

/** One file, not a key for each part: two keys of a mounted ConfigMap could be read from two versions of it. */
export const renderLive = ({ sequence, version, document }: LiveFlags): string =>
  `{"sequence":${sequence},"version":"${version}","document":${document}}`;

const LIVE = /^\{"sequence":(\d{1,15}),"version":"([0-9a-f]{12})","document":(\{.*\})\}\s*$/s;

/** Undefined for what is no live document: a person's own has no sequence, and is checked as such. */
export function parseLive(text: string): LiveFlags | undefined {
  const [, sequence, version, document] = LIVE.exec(text) ?? [];
  return sequence && version && document ? { sequence: Number(sequence), version, document } : undefined;
}

/** Checks also that the version is the document's: a live one that somebody edited by hand is refused. */
export function compileLive(live: LiveFlags, code: Readonly<Record<string, CodeFlag>>): Reading {
  const result = compileFlags(live.document, code);
  if (!result.ok) return result;
  if (result.set.version === live.version) return { ...result, sequence: live.sequence };
  const problem = `says version ${live.version}, but its flags are version ${result.set.version}`;
  return {
    ok: false,
    problems: [at(['version'], problem, 'Change the source instead; the controller writes this one.')],
  };
}
