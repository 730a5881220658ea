import assert from 'node:assert/strict';
import { fail } from '#platform/errors/index.ts';
import { patiently } from '../../../services/cli/commands/ops-db.ts';

describe('what an unattended command writes down', () => {
  it('outlives a database that is away for a moment, and no other error', async () => {
    const { signal } = new AbortController();
    let calls = 0;
    const away = async () => {
      calls += 1;
      if (calls < 3) throw fail.unavailable('database_unavailable', 'away', 2);
      return calls;
    };
    assert.equal(await patiently(away, signal), 3);
    await assert.rejects(
      patiently(() => Promise.reject(fail.conflict('task_run_lost', 'lost')), signal),
      { code: 'task_run_lost' },
    );
    await assert.rejects(
      patiently(() => Promise.reject(fail.unavailable('database_unavailable', 'away', 2)), AbortSignal.abort()),
      { code: 'database_unavailable' },
    );
  });
});
