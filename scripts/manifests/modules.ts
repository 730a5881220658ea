import { spawnSync } from 'node:child_process';

/**
 * The folder of a Go module's published files, which Go keeps and checks against its checksum database.
 * @throws with what Go said, where the module cannot be had
 */
export function goModule(module: string, version: string): string {
  const go = spawnSync('go', ['mod', 'download', '-json', `${module}@${version}`], { encoding: 'utf8', cwd: '/' });
  if (go.error) throw new Error('go is not on the PATH: install Go 1.26 or newer from https://go.dev/dl');
  const answer = JSON.parse(go.stdout || '{}') as { Dir?: string; Error?: string };
  // A module that asks for a newer Go than this one is an error to Go, and yet there: its manifests are only read.
  if (!answer.Dir) throw new Error(`${module}@${version}: ${answer.Error ?? go.stderr}`);
  return answer.Dir;
}
