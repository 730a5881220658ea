import assert from 'node:assert/strict';
import { KlarError } from '#platform/errors/index.ts';

/** For `assert.rejects`: a KlarError with that code. */
export function refusal(code: string): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof KlarError, `expected KlarError ${code}, got ${String(error)}`);
    assert.equal(error.code, code);
    return true;
  };
}
