import assert from 'node:assert/strict';
import { flattenConditions } from '../../../services/platform/db/flat-conditions.ts';

describe('one spelling for one condition', () => {
  const same = (before: string, after: string) =>
    it(`${before} is ${after}`, () => {
      assert.equal(flattenConditions(before), after);
      assert.equal(flattenConditions(after), after);
    });
  const stays = (text: string) => same(text, text);

  same('CHECK ((((a >= 3) AND (a <= 4)) AND (b !~ 1)))', 'CHECK (((a >= 3) AND (a <= 4) AND (b !~ 1)))');
  same('((a OR b) OR c)', '(a OR b OR c)');
  same('(a AND ((b AND c) AND d))', '(a AND b AND c AND d)');
  stays('((a OR b) AND c)');
  stays('((a AND b) OR c)');
  stays('((NOT (a AND b)) AND c)');
  stays('((f(a AND b) = 1) AND c)');
  stays(`((x = ') AND (') AND (y = "a) AND (b"))`);
  const scalar = '( SELECT t.a FROM t WHERE p AND r)';
  same(`((x AND ${scalar}) AND q)`, `(x AND ${scalar} AND q)`);
  stays('((a AND b) AND c');
  stays('(a AND (b)) AND c)');
});
