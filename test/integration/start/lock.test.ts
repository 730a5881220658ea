import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { takeLock } from '../../../services/all-in-one/lock.ts';
import { StartError } from '../../../services/all-in-one/start-error.ts';

describe('the lock of a data folder', () => {
  let folder: string;
  let file: string;
  const said: string[] = [];
  const take = () => takeLock(file, 3000, (line) => said.push(line));

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'klar-lock-'));
    file = path.join(folder, 'lock');
    said.length = 0;
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is held by one, and given back', async () => {
    const held = await take();
    await assert.rejects(take(), (error: unknown) => {
      assert.ok(error instanceof StartError);
      assert.equal(error.code, 'already_running');
      assert.match(error.message, new RegExp(`pid ${process.pid}, http://localhost:3000`));
      assert.match(error.remedy, /kill \d+/);
      return true;
    });
    await held.release();
    await (await take()).release();
    assert.deepEqual(await readdir(folder), []);
  });

  it('is taken over from a process that was killed', async () => {
    const dead = spawn('true');
    await new Promise((resolve) => dead.once('exit', resolve));
    await writeFile(file, JSON.stringify({ pid: dead.pid, started: '1' }));
    const held = await take();
    assert.match(said[0] ?? '', new RegExp(`was killed \\(pid ${dead.pid}\\)`));
    assert.equal(JSON.parse(await readFile(file, 'utf8')).pid, process.pid);
    await held.release();
  });

  it('is taken over when its pid belongs to another program now', async () => {
    await writeFile(file, JSON.stringify({ pid: process.pid, started: 'another time' }));
    await (await take()).release();
    assert.equal(said.length, 1);
  });

  it('is taken over when it says nothing', async () => {
    for (const text of ['', '{', 'null', '[]', '{"pid":-1}']) {
      await writeFile(file, text);
      await (await take()).release();
    }
  });

  it('goes to exactly one of many that find a stale one at the same moment', async () => {
    await writeFile(file, JSON.stringify({ pid: 2 ** 22 + 1, started: '1' }));
    // Processes, as the lock knows its holder by pid.
    const script = `import { takeLock } from ${JSON.stringify(path.resolve('services/all-in-one/lock.ts'))};
      await takeLock(process.argv[1], 1, () => {}).then(() => console.log('held'), (e) => console.log(e.code));
      process.stdin.once('data', () => process.exit(0));`;
    const children = Array.from({ length: 6 }, () =>
      spawn(process.execPath, ['--input-type=module', '-e', script, file], { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    const answers = await Promise.all(
      children.map(
        (child) => new Promise<string>((resolve) => child.stdout.once('data', (data) => resolve(String(data).trim()))),
      ),
    );
    for (const child of children) child.stdin.end('x');
    assert.deepEqual(answers.sort(), [...Array(5).fill('already_running'), 'held']);
  });

  it('is not removed by one that does not hold it', async () => {
    const held = await take();
    await writeFile(file, JSON.stringify({ pid: 1, started: 'x' }));
    await held.release();
    assert.equal(JSON.parse(await readFile(file, 'utf8')).pid, 1);
  });
});
