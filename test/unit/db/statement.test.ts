import assert from 'node:assert/strict';
import { byteaArray, statement } from '#platform/db/index.ts';
import { matchesVerifier, scramVerifier } from '../../../services/platform/db/scram.ts';

describe('statement', () => {
  it('refuses one name for two texts, and accepts the same again', () => {
    const first = statement('unit.twice', 'select 1');
    assert.deepEqual(statement('unit.twice', 'select 1'), first);
    assert.throws(() => statement('unit.twice', 'select 2'), /another text/);
  });

  it('refuses names that are no module.verb', () => {
    for (const name of ['', 'select', 'Sales.order', 'sales.', 'sales order', 'sales.*/ drop']) {
      assert.throws(() => statement(name, 'select 1'), TypeError, name);
    }
  });

  it('gives the prepared statement a name PostgreSQL does not cut', () => {
    const long = statement(`unit.${'x'.repeat(80)}`, 'select 1');
    assert.ok(long.preparedName.length <= 63);
  });
});

describe('byteaArray', () => {
  it('is the binary form of a one-dimensional bytea[]', () => {
    assert.equal(
      byteaArray([Buffer.from('ab'), Buffer.alloc(0)]).toString('hex'),
      '00000001000000000000001100000002000000010000000261620000' + '0000',
    );
    assert.equal(byteaArray([]).toString('hex'), '000000000000000000000011');
  });
});

describe('scram verifier', () => {
  // Password, salt and keys of RFC 7677, section 3.
  it('is recognised for its password and no other', () => {
    const verifier = scramVerifier('pencil', Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'));
    assert.equal(
      verifier,
      'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
    );
    assert.equal(matchesVerifier('pencil', verifier), true);
    assert.equal(matchesVerifier('pencils', verifier), false);
    assert.equal(matchesVerifier('pencil', ''), false);
  });

  it('refuses what would need SASLprep, and the empty password', () => {
    assert.throws(() => scramVerifier('smörgås'), TypeError);
    assert.throws(() => scramVerifier(''), TypeError);
  });
});
