// Who vouches for a message: real signatures under keys that come, do not come, change or break as they are told to.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { digestsFor, dkimCandidates } from '../../src/check/dkim/candidates.ts';
import { type Evidence, MessageScanner } from '../../src/message/scanner.ts';
import { DkimKeys } from '../../src/modes/dkim-keys.ts';
import { type Origin, verifyOrigin } from '../../src/modes/origin.ts';
import type { TxtAnswer } from '../../src/system/dns.ts';
import { type Author, author, nameOf, type Signing, sealedBy, signed, zeroes } from '../loopback/incoming-mail.ts';

const two = author('two.test');
const other = author('two.test', 's2');
const list = author('list.test');
const now = 1_800_000_000;

function evidenceOf(text: string, domain = 'two.test'): Evidence {
  const scanner = new MessageScanner(header => digestsFor(dkimCandidates(header, domain)));
  scanner.feed(text);
  return scanner.end();
}

type Zone = Record<string, TxtAnswer | Promise<TxtAnswer>>;
const published = ({ record }: Author): TxtAnswer => ({ records: [[record]] });
const zoneOf = (...authors: Author[]): Zone => Object.fromEntries(authors.map(each => [nameOf(each), published(each)]));

class World {
  zone: Zone;
  clock = 0;
  readonly asked: string[] = [];
  readonly keys = new DkimKeys(
    name => {
      this.asked.push(name);
      return Promise.resolve(this.zone[name] ?? { absent: 'ENOTFOUND' });
    },
    () => this.clock,
  );

  constructor(...authors: Author[]) {
    this.zone = zoneOf(...authors);
  }

  verify(text: string, time = now): Promise<Origin> {
    return verifyOrigin(evidenceOf(text), 'two.test', this.keys, time);
  }
}

const said = (origin: Origin): string => {
  if ('verified' in origin) return `verified ${origin.verified.selector}`;
  if ('temporary' in origin) return `temporary: ${origin.temporary.join(', ')}`;
  return `${origin.refused}: ${origin.reasons.join(', ')}`;
};
const good = sealedBy(two);
const unsigned = good.slice(good.search(/^From/m));
const invalid = 'No valid DKIM signature found: ';
const mismatch = 'd=two.test s=s1: signature does not match';

describe('one look at the keys', () => {
  const bad: Signing = { spoil: zeroes };
  const cases: [name: string, text: string, expected: string, asked: string[]][] = [
    ['none', unsigned, 'No DKIM signature found: ', []],
    ['a good one', good, 'verified s1', ['s1']],
    ['a bad one', sealedBy(two, undefined, bad), invalid + mismatch, ['s1']],
    ['a changed body', `${good}x\r\n`, `${invalid}d=two.test s=s1: body hash does not match`, []],
    ['an unaligned one', signed(list, unsigned), `${invalid}d=list.test: not the From domain`, []],
    ['both', signed(list, good), 'verified s1', ['s1']],
    ['without From in h=', sealedBy(two, undefined, { fields: ['Subject'] }), `${invalid}From is not signed`, []],
    ['a missing key', sealedBy({ ...two, selector: 'none' }), `${invalid}d=two.test s=none: no such name`, ['none']],
    ['i= of a subdomain', sealedBy(two, undefined, { tags: 'i=@mail.two.test;' }), 'verified s1', ['s1']],
    ['i= of another', sealedBy(two, undefined, { tags: 'i=@xtwo.test;' }), `${invalid}identity`, []],
  ];
  for (const [name, text, expected, asked] of cases) {
    test(name, async () => {
      const world = new World(two, other, list);
      assert.equal(said(await world.verify(text)), expected);
      assert.deepEqual(
        world.asked,
        asked.map(selector => `${selector}._domainkey.two.test`),
      );
    });
  }

  test('of 30 unaligned ones ten are told and the others counted', async () => {
    const origin = await new World().verify(`${'DKIM-Signature: v=1; d=x.test\r\n'.repeat(30)}${unsigned}`);
    assert.ok('refused' in origin);
    assert.deepEqual(origin.reasons, [...Array(10).fill('d=x.test: not the From domain'), '20 more of other domains']);
  });

  test('of 15 aligned ones ten are tried, the topmost; the log tells that there are more', async () => {
    let text = good;
    for (let n = 0; n < 15; n++) text = signed({ ...other, selector: `b${n}` }, text, { spoil: zeroes });
    const world = new World(two);
    for (let n = 0; n < 15; n++) world.zone[`b${n}._domainkey.two.test`] = published(other);
    const origin = await world.verify(text);
    assert.ok('refused' in origin);
    assert.deepEqual(world.asked.sort(), Array.from({ length: 10 }, (_, n) => `b${n + 5}._domainkey.two.test`).sort());
    assert.ok(
      origin.reasons.some(reason => /\b6\b/.test(reason)),
      origin.reasons.join('\n'),
    );
  });

  test('what the domain claims is foreign text', async () => {
    const origin = await new World().verify(`DKIM-Signature: v=1; d=a"\x80\r\n b\r\n${unsigned}`);
    assert.ok('refused' in origin);
    for (const reason of origin.reasons) assert.match(reason, /^[\x20-\x7e]*$/);
  });
});

describe('time', () => {
  const at = (tags: string) => sealedBy(two, undefined, { tags });
  for (const [name, tags, expected] of [
    ['ten minutes ahead', `t=${now + 600};`, 'verified s1'],
    ['more than that', `t=${now + 601};`, `${invalid}d=two.test s=s1: signed in the future`],
    ['expired five minutes ago', `x=${now - 300};`, 'verified s1'],
    ['longer ago', `x=${now - 301};`, `${invalid}d=two.test s=s1: expired`],
    ['far in the future', `t=${now}; x=${now + 1e9};`, 'verified s1'],
  ] as const) {
    test(name, async () => assert.equal(said(await new World(two).verify(at(tags))), expected));
  }

  test('a clock that is set back makes a fresh signature one of the future, and a later look forgives', async () => {
    const world = new World(two);
    const text = at(`t=${now};`);
    assert.equal(said(await world.verify(text)), 'verified s1');
    assert.match(said(await world.verify(text, now - 3600)), /signed in the future/);
    assert.equal(said(await world.verify(text, now - 599)), 'verified s1');
    assert.equal(said(await world.verify(text, 0)), `${invalid}d=two.test s=s1: signed in the future`);
  });
});

describe('trouble', () => {
  const trouble: TxtAnswer = { trouble: 'ESERVFAIL' };
  const both = signed(other, good);

  test('with the only key: temporary', async () => {
    const world = new World();
    world.zone[nameOf(two)] = trouble;
    assert.equal(said(await world.verify(good)), 'temporary: d=two.test s=s1: DNS: ESERVFAIL');
  });

  test('with one key of two, the other signature good: verified', async () => {
    const world = new World(two);
    world.zone[nameOf(other)] = trouble;
    assert.equal(said(await world.verify(both)), 'verified s1');
  });

  test('with one key of two, the other signature bad: temporary, and both are told', async () => {
    const world = new World(two);
    world.zone[nameOf(other)] = trouble;
    const origin = await world.verify(signed(other, sealedBy(two, undefined, { spoil: zeroes })));
    assert.ok('temporary' in origin);
    assert.deepEqual([...origin.temporary].sort(), [mismatch, 'd=two.test s=s2: DNS: ESERVFAIL'].sort());
  });

  test('an answer that never comes does not hold up a good signature', async () => {
    const world = new World(two);
    world.zone[nameOf(other)] = new Promise<never>(() => undefined);
    assert.equal(said(await world.verify(both)), 'verified s1');
  });

  test('with an unaligned one: of no matter', async () => {
    const world = new World(two);
    world.zone[nameOf(list)] = trouble;
    assert.equal(
      said(await world.verify(signed(list, sealedBy(two, undefined, { spoil: zeroes })))).startsWith(invalid),
      true,
    );
  });
});

describe('a key from the cache that does not match', () => {
  const rotated = author('two.test');
  const byRotated = sealedBy(rotated);
  const cached = async () => {
    const world = new World(two);
    assert.equal(said(await world.verify(good)), 'verified s1');
    return world;
  };

  test('the new one does', async () => {
    const world = await cached();
    world.zone[nameOf(two)] = published(rotated);
    assert.equal(said(await world.verify(byRotated)), 'verified s1');
    assert.equal(world.asked.length, 2);
    assert.match(said(await world.verify(good)), /does not match/, 'the old one is none any more');
  });

  test('the new one does not either', async () => {
    const world = await cached();
    world.zone[nameOf(two)] = published(other);
    assert.equal(said(await world.verify(byRotated)), invalid + mismatch);
  });

  test('it is the same one: refused, and not asked again for 60 s', async () => {
    const world = await cached();
    for (const [clock, asked] of [
      [1000, 2],
      [60_999, 2],
      [61_000, 3],
      [120_000, 3],
    ] as const) {
      world.clock = clock;
      assert.equal(said(await world.verify(byRotated)), invalid + mismatch);
      assert.equal(world.asked.length, asked, `${clock}`);
    }
    assert.equal(said(await world.verify(good)), 'verified s1');
  });

  for (const [name, answer, expected] of [
    ['it is gone', { absent: 'ENOTFOUND' }, `${invalid}d=two.test s=s1: no such name`],
    ['it is revoked', { records: [['v=DKIM1; k=ed25519; p=']] }, `${invalid}d=two.test s=s1: revoked`],
    ['nobody knows', { trouble: 'timeout' }, 'temporary: d=two.test s=s1: DNS: timeout'],
  ] as const) {
    test(name, async () => {
      const world = await cached();
      world.zone[nameOf(two)] = answer;
      assert.equal(said(await world.verify(byRotated)), expected);
    });
  }

  test('a fresh key is not fetched for a body that does not match', async () => {
    const world = await cached();
    assert.match(said(await world.verify(`${good}x\r\n`)), /body hash/);
    assert.equal(world.asked.length, 1);
  });

  test('ten at the same time share the question, before and after the change', async () => {
    const world = new World(two);
    const verified = await Promise.all(Array.from({ length: 10 }, () => world.verify(good)));
    assert.ok(verified.every(origin => 'verified' in origin));
    assert.equal(world.asked.length, 1);
    world.zone[nameOf(two)] = published(rotated);
    const again = await Promise.all(Array.from({ length: 10 }, () => world.verify(byRotated)));
    assert.ok(again.every(origin => 'verified' in origin));
    assert.equal(world.asked.length, 2);
  });

  test('within one message, too: two signatures under one key', async () => {
    const world = new World(two);
    assert.equal(said(await world.verify(signed(two, good, { spoil: zeroes }))), 'verified s1');
    assert.equal(world.asked.length, 1);
  });
});

describe('a look-up that throws', () => {
  test('is thrown on, and the next message is not the worse for it', async () => {
    const world = new World(two);
    world.zone[nameOf(two)] = Promise.reject(new Error('broken'));
    await assert.rejects(world.verify(good), /broken/);
    world.zone[nameOf(two)] = published(two);
    assert.equal(said(await world.verify(good)), 'verified s1');
  });

  test('beside a good signature nothing is thrown into the void', async () => {
    const world = new World(two);
    world.zone[nameOf(other)] = Promise.reject(new Error('broken'));
    await world.verify(signed(other, good)).catch(() => undefined);
  });
});
