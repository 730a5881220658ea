import assert from 'node:assert/strict';
import { AUDIT_ACTIONS, isAuditAction, MAX_DETAILS_BYTES } from '#domain/audit/index.ts';
import { detailsJson } from '../../../services/domain/audit/entry.ts';

describe('audit: entries', () => {
  it('refuses details that are too large, counted in bytes', () => {
    assert.throws(() => detailsJson({ text: 'ü'.repeat(MAX_DETAILS_BYTES / 2) }), TypeError);
    assert.equal(detailsJson(undefined), '{}');
  });

  it('refuses fields that are named like secrets, at any depth', () => {
    for (const name of ['password', 'access_token', 'api_key', 'client_secret', 'cookie']) {
      assert.throws(() => detailsJson({ deep: [{ [name]: 'x' }] }), TypeError, name);
    }
    assert.equal(detailsJson({ api_key_id: 'key_1', tokens_used: 3 }), '{"api_key_id":"key_1","tokens_used":3}');
  });

  it('refuses NUL, which jsonb cannot hold, and what is no JSON', () => {
    assert.throws(() => detailsJson({ a: 'x\u0000' }), TypeError);
    assert.throws(() => detailsJson({ a: 1n }), TypeError);
  });

  it('names every action noun.verb and knows no other', () => {
    for (const [name, says] of Object.entries(AUDIT_ACTIONS)) {
      assert.match(name, /^[a-z_]+(\.[a-z_]+)+$/);
      assert.match(says, /^[A-Z].*\.$/);
    }
    assert.ok(isAuditAction('orders.place'));
    assert.ok(!isAuditAction('toString'));
  });
});
