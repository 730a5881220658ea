import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chooseTools, findPgTools, runTool, ToolFailure } from '#domain/operations/backups/index.ts';
import { lackOf, tablesInList } from '../../../services/domain/operations/backups/archive-list.ts';
import { dumpError } from '../../../services/domain/operations/backups/dump.ts';
import { connectionOf } from '../../../services/domain/operations/backups/pg-tools.ts';
import { makeWorkDir } from '../../../services/domain/operations/backups/work-dir.ts';

describe('pg_dump and pg_restore', () => {
  let home: string;
  before(async () => {
    home = await mkdtemp(path.join(tmpdir(), 'klar-tools-'));
    for (const [folder, version] of [
      ['path', '16.2'],
      ['versioned/14/bin', '14.9 (Debian 14.9-1)'],
      ['versioned/17/bin', '17beta1'],
    ]) {
      await mkdir(path.join(home, folder ?? ''), { recursive: true });
      for (const name of ['pg_dump', 'pg_restore']) {
        const file = path.join(home, folder ?? '', name);
        await writeFile(file, `#!/bin/sh\necho "${name} (PostgreSQL) ${version}"\n`);
        await chmod(file, 0o755);
      }
    }
    await mkdir(path.join(home, 'versioned/15/bin'), { recursive: true });
  });
  after(() => rm(home, { recursive: true, force: true }));
  const find = () => findPgTools(`/nowhere:${path.join(home, 'path')}`, path.join(home, 'versioned'));

  it('are found on PATH and among the versions of the system', async () => {
    const found = await find();
    assert.deepEqual(
      found.map(({ version, major }) => [version, major]),
      [
        ['16.2', 16],
        ['14.9', 14],
        ['17beta1', 17],
      ],
    );
  });
  it('are the oldest that can dump the server', async () => {
    const found = await find();
    assert.equal(chooseTools(found, { version: '15.14', major: 15 }).major, 16);
    assert.equal(chooseTools(found, { version: '14.1', major: 14 }).major, 14);
  });
  it('are refused when the server is newer, with the mend', async () => {
    const found = await find();
    assert.throws(
      () => chooseTools(found, { version: '18.4', major: 18 }),
      (error: { code: string; detail: string }) =>
        error.code === 'backup_tools_old' &&
        error.detail.includes('The server is PostgreSQL 18.4 and pg_dump here is 17beta1') &&
        error.detail.includes('--build-arg PG_CLIENT=18'),
    );
    assert.throws(() => chooseTools([], { version: '18.4', major: 18 }), { code: 'backup_tools_missing' });
  });
});

describe('the connection of a program', () => {
  const place = 'db+1.internal:5432/klar+1';
  it('has the password in its environment, wherever the URL has it', () => {
    for (const [url, password] of [
      [`postgres://klar:p%40s%2Bs@${place}`, 'p@s+s'],
      [`postgres://klar@${place}?password=p%40s%2Bs`, 'p@s+s'],
      [`postgres://klar:first@${place}?password=second&password=third&sslpassword=fourth`, 'third'],
      [`postgres://klar:first@${place}?password=`, 'first'],
    ] as const) {
      assert.deepEqual(connectionOf(url), { url: `postgres://klar@${place}`, env: { PGPASSWORD: password } });
    }
    assert.deepEqual(connectionOf('postgres:///klar?host=/run/pg&user=klar&password=secret'), {
      url: 'postgres:///klar?host=%2Frun%2Fpg&user=klar',
      env: { PGPASSWORD: 'secret' },
    });
  });
  it('without a password has none, and keeps a space of its parameters one for libpq', () => {
    const url = `postgres://klar@${place}?options=-c%20statement_timeout%3D0`;
    assert.deepEqual(connectionOf(url), { url, env: {} });
  });
});

describe('a program that is run', () => {
  const sh = (script: string, more = {}) => runTool({ file: '/bin/sh', args: ['-c', script], env: {}, ...more });

  it('gives its output, and its lines while it runs', async () => {
    const lines: string[] = [];
    assert.equal(
      await sh('echo out; echo one >&2; echo two >&2', { onLine: (line: string) => lines.push(line) }),
      'out\n',
    );
    assert.deepEqual(lines, ['one', 'two']);
  });
  it('gets nothing of our environment', async () => {
    assert.doesNotMatch(await sh('env'), /HOME|KLAR|DATABASE/);
  });
  it('that fails or is killed is an error with what it said last', async () => {
    await assert.rejects(sh('echo noise >&2; echo "pg_dump: error: no" >&2; exit 3'), (error: ToolFailure) =>
      /sh ended with code 3: pg_dump: error: no/.test(error.message),
    );
    await assert.rejects(sh('kill -9 $$'), /was ended by SIGKILL/);
  });
  it('that quotes rows is not quoted', async () => {
    const said = [
      'pg_restore: error: no',
      'DETAIL:  Key (email)=(a@b)',
      'CONTEXT:  COPY',
      'a@b',
      'pg_restore: hint: x',
    ];
    await assert.rejects(sh(`printf '%s\\n' '${said.join("' '")}' >&2; exit 1`), (error: ToolFailure) => {
      assert.deepEqual(error.lines, [said[0], said[4]]);
      return !error.message.includes('a@b');
    });
  });
  it('is not waited for when a child of it outlives it', async () => {
    const began = performance.now();
    await assert.rejects(sh('sleep 15 & kill -9 $$'), /SIGKILL/);
    assert.ok(performance.now() - began < 12_000);
  });
  it('is ended when the run is', async () => {
    const stop = new AbortController();
    const running = sh('sleep 60', { signal: stop.signal });
    stop.abort(new Error('told to stop'));
    await assert.rejects(running, /told to stop/);
  });
});

describe('what a failed program means', () => {
  const meant = (line: string) =>
    dumpError(new ToolFailure('pg_dump', 1, [line]), '/work') as { code: string; detail: string };

  it('is a full disk', () =>
    assert.equal(meant('pg_dump: error: could not write to file: No space left on device').code, 'backup_work_full'));
  it('may be a PgBouncer in the way', () => {
    const error = meant('pg_dump: error: query failed: ERROR:  invalid snapshot identifier: "00000003-1"');
    assert.equal(error.code, 'backup_dump_failed');
    assert.match(error.detail, /PgBouncer/);
  });
});

describe('the folder for a dump', () => {
  let home: string;
  beforeEach(async () => {
    home = await mkdtemp(path.join(tmpdir(), 'klar-work-'));
  });
  afterEach(() => rm(home, { recursive: true, force: true }));

  it('loses what killed runs left, and keeps what runs and what is not ours', async () => {
    const first = await makeWorkDir(home, new Date());
    const [, host, pid] = /klar-backup-([A-Za-z0-9.]+)-(\d+)-/.exec(first) ?? [];
    const names = {
      dead: `klar-backup-${host}-4194304-abcdef`,
      running: `klar-backup-${host}-${process.ppid}-abcdef`,
      elsewhere: 'klar-backup-otherpod-7-abcdef',
      forgotten: 'klar-backup-otherpod-8-abcdef',
      theirs: 'lost+found',
    };
    for (const name of Object.values(names)) await mkdir(path.join(home, name));
    const then = new Date(Date.now() - 3 * 86_400_000);
    await utimes(path.join(home, names.forgotten), then, then);
    assert.equal(Number(pid), process.pid);
    const second = await makeWorkDir(home, new Date());
    const left = [names.running, names.elsewhere, names.theirs, path.basename(second)];
    assert.deepEqual((await readdir(home)).sort(), left.sort());
  });
  it('that cannot be made says what to set', async () => {
    await writeFile(path.join(home, 'file'), '');
    await assert.rejects(makeWorkDir(path.join(home, 'file/x'), new Date()), { code: 'backup_work_refused' });
  });
});

describe('the list of an archive', () => {
  const list = [
    '; Archive created at 2026-05-01 02:30:10 UTC',
    '3456; 0 16389 TABLE DATA app courses klar_owner',
    '215; 1259 16389 TABLE app courses klar_owner',
    '3460; 0 16400 TABLE DATA pgboss job_common klar_owner',
    '',
  ].join('\n');
  const counted = [
    { schema: 'app', name: 'courses', rows: 1 },
    { schema: 'pgboss', name: 'job_common', rows: 0 },
  ];
  const files = ['toc.dat', '3456.dat.gz', '3460.dat.gz'];

  it('names the tables whose rows are in it', () =>
    assert.deepEqual(tablesInList(list), [
      { entry: 3456, schema: 'app', name: 'courses' },
      { entry: 3460, schema: 'pgboss', name: 'job_common' },
    ]));
  it('has all that was counted', () => assert.equal(lackOf(counted, tablesInList(list), files), undefined));
  it('of an empty dump is refused', () => {
    assert.match(String(lackOf(counted, tablesInList('; nothing'), ['toc.dat'])), /no table/);
    assert.match(String(lackOf([], tablesInList(list), files)), /no table of Klar/);
  });
  it('without a table that was counted, or without its file, is refused', () => {
    const more = [...counted, { schema: 'app', name: 'orders', rows: 0 }];
    assert.match(String(lackOf(more, tablesInList(list), files)), /app\.orders is not in it/);
    assert.match(String(lackOf(counted, tablesInList(list), ['3460.dat.gz'])), /the rows of app\.courses/);
  });
});
