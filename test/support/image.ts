import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { imageEnvironment, readDockerfile, type Stage } from './dockerfile.ts';

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, '../..');
/** Absolute paths of the image that instructions name; everything else they run is this machine's. */
const INSIDE = /(?<![\w.-])\/(app|etc\/klar|var\/lib\/klar|tmp\/[\w.$-]+)/g;
const isRoot = process.getuid?.() === 0;

export interface Image {
  /** The image's root folder: `app` is below it. */
  root: string;
  env: Record<string, string>;
  /** The base image's node. */
  node: string;
  /** Who runs in it; absent where this test is not root and can be nobody else. */
  user: { uid: number; gid: number } | undefined;
}

/**
 * Carries out the instructions of the Dockerfile below `folder`, with this machine's node and npm as the base image. It
 * proves what is copied, installed and removed; not what an engine adds to it.
 */
export async function buildImage(folder: string, args: Record<string, string>): Promise<Image> {
  const stages = readDockerfile();
  // Every stage at the same path while it is made, because the compile cache knows files by their paths.
  const root = path.join(folder, 'root');
  await chmod(folder, 0o755);
  // This checkout may lie where the image's user may not look; then its node would not run, and an older one would.
  const bin = path.join(folder, 'bin');
  const node = path.join(bin, 'node');
  await mkdir(bin);
  await copyFile(process.execPath, node);
  for (const [index, stage] of stages.entries()) {
    await buildStage({ folder, bin, root, stages, stage });
    if (index < stages.length - 1) await rename(root, path.join(folder, stage.name));
  }
  const last = stages.at(-1);
  return {
    root,
    env: environment(root, stages, last, args),
    node,
    user: last && userAt(last, last.instructions.length),
  };
}

type Step = { folder: string; bin: string; root: string; stages: Stage[]; stage: Stage };

async function buildStage({ folder, bin, root, stages, stage }: Step): Promise<void> {
  if (stages.some(({ name }) => name === stage.base)) await run('cp', ['-a', path.join(folder, stage.base), root]);
  const app = path.join(root, 'app');
  await mkdir(app, { recursive: true });
  await mkdir(path.join(root, 'tmp'), { recursive: true });
  await chmod(path.join(root, 'tmp'), 0o1777);
  const env = {
    ...environment(root, stages, stage, {}),
    PATH: `${bin}:${process.env.PATH}`,
    HOME: process.env.HOME,
    npm_config_prefer_offline: 'true',
  };
  for (const [index, { keyword, text }] of stage.instructions.entries()) {
    if (keyword === 'COPY') await copy(folder, root, text);
    if (keyword !== 'RUN') continue;
    // Only root may give a folder away.
    const command = isRoot ? text : text.replaceAll(/ -[og] \d+/g, '');
    await run('/bin/sh', ['-c', inside(root, command)], { cwd: app, env, ...userAt(stage, index) });
  }
}

const inside = (root: string, text: string) => text.replace(INSIDE, (found) => path.join(root, found));

function environment(root: string, stages: Stage[], stage: Stage | undefined, args: Record<string, string>) {
  const entries = Object.entries(imageEnvironment(stages, stage)).filter(([name]) => name !== 'PATH');
  const value = (text: string) => inside(root, text).replace(/\$\{(\w+)\}/g, (_, name) => args[name] ?? '');
  return Object.fromEntries(entries.map(([name, text]) => [name, value(text)]));
}

function userAt(stage: Stage, index: number): Image['user'] {
  const user = stage.instructions.slice(0, index).findLast(({ keyword }) => keyword === 'USER');
  if (!user || !isRoot) return undefined;
  const [uid, gid] = user.text.split(':').map(Number);
  if (!uid || !gid) throw new Error(`USER ${user.text} is root, or not a number`);
  return { uid, gid };
}

async function copy(folder: string, root: string, text: string): Promise<void> {
  const words = text.split(/\s+/);
  const from = words[0]?.startsWith('--from=') ? words.shift()?.slice('--from='.length) : undefined;
  const target = words.pop() ?? '';
  const place = target.startsWith('/') ? path.join(root, target) : path.join(root, 'app', target);
  for (const word of words) {
    if (!from) refuseIgnored(word);
    const source = from ? path.join(folder, from, word) : path.join(ROOT, word);
    const merge = existsSync(place) && !target.endsWith('/');
    await run('cp', ['-a', '--no-preserve=ownership', merge ? `${source}/.` : source, place]);
  }
}

/** What .dockerignore keeps out does not reach an engine. */
function refuseIgnored(word: string): void {
  const lines = readFileSync(path.join(ROOT, '.dockerignore'), 'utf8').split('\n');
  if (lines[0] !== '*' || !lines.includes(`!${word}`)) throw new Error(`.dockerignore keeps ${word} out of the image`);
}
