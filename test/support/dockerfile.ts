import { readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** One instruction, with its continued lines joined and comments left out. */
export interface Instruction {
  keyword: string;
  text: string;
}

export interface Stage {
  name: string;
  base: string;
  instructions: Instruction[];
}

/** The stages of the Dockerfile in order; the last one is the image. */
export function readDockerfile(): Stage[] {
  const text = readFileSync(path.join(ROOT, 'Dockerfile'), 'utf8')
    .replace(/^#.*\n/gm, '')
    .replace(/\s*\\\n\s*/g, ' ');
  const stages: Stage[] = [];
  for (const line of text.split('\n').filter((row) => row.trim() !== '')) {
    const [, keyword = '', rest = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    const from = keyword === 'FROM' ? /^(\S+)(?: AS (\S+))?$/.exec(rest) : undefined;
    if (from) stages.push({ base: from[1] ?? '', name: from[2] ?? '', instructions: [] });
    else stages.at(-1)?.instructions.push({ keyword, text: rest });
  }
  return stages;
}

/** ARG of a stage with its defaults, over which `given` goes. */
export function stageArguments(stage: Stage, given: Record<string, string>): Record<string, string> {
  const own = stage.instructions.filter(({ keyword }) => keyword === 'ARG').map(({ text }) => text.split('='));
  return Object.fromEntries(own.map(([name = '', fallback = '']) => [name, given[name] ?? fallback]));
}

/** ENV of the image, those of the stages that it is made from included. */
export function imageEnvironment(stages = readDockerfile(), stage = stages.at(-1)): Record<string, string> {
  if (!stage) return {};
  const base = stages.find(({ name }) => name === stage.base);
  const own = stage.instructions
    .filter(({ keyword }) => keyword === 'ENV')
    .flatMap(({ text }) => text.split(/\s+/))
    .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]);
  return { ...(base ? imageEnvironment(stages, base) : {}), ...Object.fromEntries(own) };
}
