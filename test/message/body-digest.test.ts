// The digest of a body against one computed from the whole at once, as RFC 6376 3.4.3 and 3.4.4 say it.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { BodyDigester, type Canonicalization } from '../../src/message/body-digest.ts';

function whole(body: string, canonicalization: Canonicalization): string {
  let lines = body.split('\r\n');
  if (canonicalization === 'relaxed') lines = lines.map(line => line.replace(/[ \t]+/g, ' ').replace(/ $/, ''));
  while (lines.at(-1) === '') lines.pop();
  const text = lines.map(line => `${line}\r\n`).join('');
  return text === '' && canonicalization === 'simple' ? '\r\n' : text;
}

function digest(pieces: readonly string[], canonicalization: Canonicalization): string {
  const digester = new BodyDigester(canonicalization);
  for (const piece of pieces) digester.feed(piece);
  const { hash, octets } = digester.end();
  return `${octets} ${hash.toString('hex')}`;
}

function expected(body: string, canonicalization: Canonicalization): string {
  const text = whole(body, canonicalization);
  return `${text.length} ${createHash('sha256').update(text, 'latin1').digest('hex')}`;
}

const canonicalizations = ['simple', 'relaxed'] as const;

test('any body in any pieces', () => {
  const line = fc.array(fc.constantFrom('a', 'b', ' ', '\t', '  ', '\xe9', '.'), { maxLength: 6 });
  const body = fc.array(line, { maxLength: 8 }).map(lines => lines.map(words => `${words.join('')}\r\n`).join(''));
  fc.assert(
    fc.property(body, fc.array(fc.nat(60), { maxLength: 6 }), (text, cuts) => {
      const at = [0, ...cuts.map(cut => Math.min(cut, text.length)).toSorted((a, b) => a - b), text.length];
      const pieces = at.slice(1).map((end, index) => text.slice(at[index], end));
      for (const how of canonicalizations) {
        assert.equal(digest(pieces, how), expected(text, how));
        assert.equal(digest([...text], how), expected(text, how));
      }
    }),
    { numRuns: 3000 },
  );
});

test('a run of blanks or empty lines costs linear time however it is cut', () => {
  for (const unit of [' ', '\t ', '\r\n', ' \r\n']) {
    const piece = unit.repeat(32_768);
    for (const how of canonicalizations) {
      assert.equal(digest(Array(64).fill(piece), how), expected(piece.repeat(64), how));
    }
  }
});
