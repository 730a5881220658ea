import assert from 'node:assert/strict';
import {
  backoffSeconds,
  MAX_ATTEMPTS,
  messageId,
  outcomeOfFailure,
  settle,
} from '../../../services/domain/notifications/delivery.ts';

describe('notifications: attempts', () => {
  it('takes 5xx as final, 4xx and silence as transient', () => {
    const kind = (failure: unknown) => outcomeOfFailure(failure).kind;
    assert.equal(kind({ responseCode: 550, code: 'EENVELOPE', command: 'RCPT TO' }), 'dead');
    assert.equal(kind({ responseCode: 554, code: 'EMESSAGE', command: 'DATA' }), 'dead');
    assert.equal(kind({ responseCode: 421 }), 'failed');
    assert.equal(kind({ code: 'ETIMEDOUT', command: 'CONN' }), 'failed');
    for (const odd of [undefined, null, 'text', new Error('x')]) assert.equal(kind(odd), 'failed');
  });

  it('knows a refused recipient from a refused message', () => {
    const recipient = outcomeOfFailure({ responseCode: 501, code: 'EENVELOPE', command: 'RCPT TO' });
    assert.deepEqual(recipient, { kind: 'dead', error: 'SMTP 501, EENVELOPE', address: true });
    const message = outcomeOfFailure({ responseCode: 554, code: 'EMESSAGE', command: 'DATA' });
    assert.deepEqual(message, { kind: 'dead', error: 'SMTP 554, EMESSAGE' });
  });

  it('does not blame the message for a refused login or greeting', () => {
    assert.equal(outcomeOfFailure({ responseCode: 535, code: 'EAUTH', command: 'AUTH PLAIN' }).kind, 'failed');
    assert.equal(outcomeOfFailure({ responseCode: 554, command: 'CONN' }).kind, 'failed');
  });

  it("repeats nothing of the server's words", () => {
    const outcome = outcomeOfFailure({ responseCode: 550, code: 'E\nX', message: 'token=abc', response: 'token=abc' });
    assert.deepEqual(outcome, { kind: 'dead', error: 'SMTP 550' });
  });

  it('waits longer each time, spread, and 44 hours in all', () => {
    let total = 0;
    for (let attempt = 1; attempt < MAX_ATTEMPTS; attempt += 1) {
      const [least, middle, most] = [0, 0.5, 1].map((random) => backoffSeconds(attempt, random));
      assert.ok((least ?? 0) < (middle ?? 0) && (middle ?? 0) < (most ?? 0));
      total += middle ?? 0;
    }
    assert.equal(Math.floor(total / 3600), 44);
    assert.equal(backoffSeconds(1000, 0.5), 6 * 3600);
  });

  it('is dead after its last attempt and keeps other outcomes', () => {
    const failed = { kind: 'failed', error: 'x' } as const;
    assert.equal(settle(failed, MAX_ATTEMPTS - 1).kind, 'failed');
    assert.equal(settle(failed, MAX_ATTEMPTS).kind, 'dead');
    assert.equal(settle({ kind: 'sent' }, MAX_ATTEMPTS).kind, 'sent');
  });

  it('names a message by its delivery alone', () => {
    assert.equal(messageId('dlv_1', 'Klar <no-reply@klar.test>'), '<dlv_1@klar.test>');
    assert.equal(messageId('dlv_1', 'broken'), '<dlv_1@klar.invalid>');
  });
});
