import { execFile } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { chmod, copyFile, mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { imageEnvironment, readDockerfile, type Stage, stageArguments } from './dockerfile.ts';

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, '../..');
/** Absolute paths of the image that instructions name; the programs they run are this machine's. */
const INSIDE = /(?<![\w.-])\/(app|client|etc\/klar|opt|usr\/local|var\/lib\/klar|tmp\/[\w.$-]+)/g;
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
  await writeFile(path.join(bin, 'apt-get'), APT_GET, { mode: 0o755 });
  for (const [index, stage] of stages.entries()) {
    await buildStage({ folder, bin, root, stages, stage, args });
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

/** Installs nothing on this machine: what an instruction asks for must be here already. */
const APT_GET = `#!/bin/sh
for word in "$@"; do package=$word; done
case " $* " in *" update "*) exit 0 ;; esac
dpkg-query --status "$package" > /dev/null || { echo "this test needs Debian's $package" >&2; exit 1; }
`;

type Step = {
  folder: string;
  bin: string;
  root: string;
  stages: Stage[];
  stage: Stage;
  args: Record<string, string>;
};

async function buildStage({ folder, bin, root, stages, stage, args }: Step): Promise<void> {
  if (stages.some(({ name }) => name === stage.base)) await run('cp', ['-a', path.join(folder, stage.base), root]);
  const app = path.join(root, 'app');
  await mkdir(app, { recursive: true });
  await mkdir(path.join(root, 'tmp'), { recursive: true });
  await chmod(path.join(root, 'tmp'), 0o1777);
  const env = {
    ...registryAccess(),
    ...stageArguments(stage, args),
    ...environment(root, stages, stage, args),
    PATH: `${bin}:${path.join(root, 'usr/local/bin')}:${process.env.PATH}`,
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

/** How this machine reaches its registry; an engine is told by its own configuration. */
function registryAccess(): Record<string, string | undefined> {
  const names = /^(npm_config_.*|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|https?_proxy|no_proxy)$/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => names.test(name)));
}

/** Instructions remove and make folders as root: one whose path is not the image's must not run here. */
function inside(root: string, text: string): string {
  const words = text.match(/(?<![\w.$)}*-])\/\w[\w/.$*-]*/g) ?? [];
  const outside = words.filter((word) => word !== '/dev/null' && word.search(INSIDE) !== 0);
  if (outside.length > 0)
    throw new Error(`the Dockerfile names ${outside.join(', ')}, which this test does not keep apart`);
  return text.replace(INSIDE, (found) => path.join(root, found));
}

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
    // Of a folder an engine copies what is in it.
    const isFolder = statSync(source).isDirectory();
    if (isFolder) await mkdir(place, { recursive: true });
    await run('cp', ['-a', '--no-preserve=ownership', isFolder ? `${source}/.` : source, place]);
  }
}

/** What .dockerignore keeps out does not reach an engine. */
function refuseIgnored(word: string): void {
  const lines = readFileSync(path.join(ROOT, '.dockerignore'), 'utf8').split('\n');
  const allowed = lines.some((line) => line === `!${word}` || (line !== '' && `!${word}`.startsWith(`${line}/`)));
  if (lines[0] !== '*' || !allowed) throw new Error(`.dockerignore keeps ${word} out of the image`);
}
