// What is read of DNS records, and what mailauth is asked for; mta-sts-fetch.test.ts has the real fetch.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import { publishedPolicies, type Reader } from '../../src/deliver/mta-sts-source.ts';
import type { Answer, TxtAnswer } from '../../src/system/dns.ts';

const noAnswer = { absent: 'ENOTFOUND' };

/** Before anything else here: a process that has not loaded mailauth. */
test('mailauth is loaded for the first domain that has a record', async () => {
  const { cache } = createRequire(import.meta.url);
  const isLoaded = () => Object.keys(cache).some(path => path.includes('/node_modules/mailauth/'));
  for (const txt of [noAnswer, { trouble: 'timeout' }, { records: [['v=spf1 -all']] }])
    await publishedPolicies(lookups({ txt })).currentId('a.test');
  assert.ok(!isLoaded());
  const { currentId } = publishedPolicies(lookups({ txt: { records: [['v=STSv1; id=1']] } }));
  assert.deepEqual(await currentId('a.test'), { id: '1' });
  assert.ok(isLoaded());
});

type Zone = { txt?: TxtAnswer; addresses?: Answer<string>; asked?: string[] };

function lookups({ txt = noAnswer, addresses = noAnswer, asked = [] }: Zone) {
  const given = <Content>(answer: Content) => {
    return async (name: string) => {
      asked.push(name);
      return answer;
    };
  };
  return { txt: given(txt), a: given(addresses), aaaa: given<Answer<string>>(noAnswer) };
}

describe('the id of a TXT record', () => {
  const good = 'v=STSv1; id=20260101;';
  const noRecord = 'TXT of _mta-sts.a.test: "no such record"';
  const malformed = 'TXT of _mta-sts.a.test: malformed';
  const table: [what: string, txt: TxtAnswer, expected: { id: string } | { none: string }][] = [
    ['as in RFC 8461', { records: [[good]] }, { id: '20260101' }],
    ['in several strings', { records: [['v=STS', 'v1; i', 'd=1']] }, { id: '1' }],
    ['beside other records', { records: [['v=spf1 -all'], [good], ['']] }, { id: '20260101' }],
    ['with an extension', { records: [['v=STSv1; x=y; id=1']] }, { id: '1' }],
    ['no such name', noAnswer, { none: 'TXT of _mta-sts.a.test: ENOTFOUND' }],
    ['trouble', { trouble: 'timeout' }, { none: 'TXT of _mta-sts.a.test: timeout' }],
    ['others only, as a wildcard has them', { records: [['v=spf1 -all']] }, { none: noRecord }],
    ['two', { records: [[good], [good]] }, { none: 'TXT of _mta-sts.a.test: "Multiple MTA-STS TXT records found"' }],
    ['no id', { records: [['v=STSv1;']] }, { none: malformed }],
    ['an id that is none', { records: [['v=STSv1; id=2026-01-01;']] }, { none: malformed }],
    ['another version', { records: [['v=STSv2; id=1']] }, { none: noRecord }],
    ['in another case', { records: [['V=stsv1; id=1']] }, { none: noRecord }],
    ['1024 octets', { records: [[`v=STSv1; id=1; x=${'y'.repeat(1007)}`]] }, { id: '1' }],
    ['1025 octets', { records: [[`v=STSv1; id=1; x=${'y'.repeat(1008)}`]] }, { none: noRecord }],
  ];
  for (const [what, txt, expected] of table) {
    test(what, async () => {
      const asked: string[] = [];
      const { currentId } = publishedPolicies(lookups({ txt, asked }));
      assert.deepEqual(await currentId('a.test'), expected);
      assert.deepEqual(asked, ['_mta-sts.a.test']);
    });
  }

  test('blanks without end take no time', async () => {
    const inOne = { records: [[`v=STSv1; id=1; x=y${' '.repeat(65_000)}z`]] };
    const inMany = { records: Array.from({ length: 60 }, () => [`v=STSv1; id=1; x=y${' '.repeat(1000)}z`]) };
    const began = performance.now();
    for (const txt of [inOne, inMany])
      assert.ok('none' in (await publishedPolicies(lookups({ txt })).currentId('a.test')));
    assert.ok(performance.now() - began < 200);
  });
});

describe('a policy', () => {
  const mailauth = () => import('mailauth/lib/mta-sts.js');
  const withFetch = (fetchPolicy: Reader['fetchPolicy'], zone: Zone = {}) =>
    publishedPolicies(lookups(zone), async () => ({ ...(await mailauth()), fetchPolicy }));

  test('as mailauth gives it, matched as RFC 8461 4.1 says', async () => {
    const { fetch } = withFetch(async () => ({ mode: 'enforce', maxAge: 86_400, mx: ['mx.a.test', '*.b.test'] }));
    const policy = await fetch('a.test');
    assert.ok('mode' in policy);
    assert.deepEqual({ ...policy, lists: null }, { mode: 'enforce', maxAge: 86_400, lists: null });
    const hosts = ['mx.a.test', 'x.b.test', 'xmx.a.test', 'x.mx.a.test', 'b.test', 'x.y.b.test', '*.b.test', ''];
    assert.deepEqual(hosts.filter(policy.lists), ['mx.a.test', 'x.b.test']);
  });

  test('of mode none, without hosts', async () => {
    const { fetch } = withFetch(async () => ({ mode: 'none', maxAge: 60 }));
    assert.deepEqual({ ...(await fetch('a.test')), lists: null }, { mode: 'none', maxAge: 60, lists: null });
  });

  test('is asked for strictly and with bounds, of the host that DNS says', async () => {
    const asked: string[] = [];
    const { fetch } = withFetch(
      async (domain, { strict, timeout = 0, maxPolicySize = 0, resolver = assert.fail } = {}) => {
        assert.deepEqual([domain, strict], ['a.test', true]);
        assert.ok(timeout > 0 && timeout <= 30_000);
        assert.ok(maxPolicySize > 1000 && maxPolicySize <= 8192);
        await resolver(`mta-sts.${domain}`, 'A');
        return false;
      },
      { asked },
    );
    assert.deepEqual(await fetch('a.test'), { trouble: '"no address of mta-sts.a.test"' });
    assert.deepEqual(asked, ['mta-sts.a.test', 'mta-sts.a.test']);
  });

  test('says what failed, foreign text in quotes and shortened', async () => {
    const failing = (error: unknown) => withFetch(() => Promise.reject(error)).fetch('a.test');
    assert.deepEqual(await failing(new Error('a\r\nb')), { trouble: String.raw`"a\x0d\x0ab"` });
    assert.deepEqual(await failing(new Error('x'.repeat(5000))), { trouble: `"${'x'.repeat(200)}..."` });
    const { fetch } = withFetch(async () => false);
    assert.deepEqual(await fetch('a.test'), { trouble: '"no address"' });
    const trouble = { trouble: 'timeout' };
    const deaf = publishedPolicies({ ...lookups({ addresses: trouble }), aaaa: async () => trouble });
    assert.deepEqual(await deaf.fetch('a.test'), {
      trouble: '"address look-up of mta-sts.a.test failed: timeout"',
    });
  });

  test('is none without mailauth', async () => {
    const missing = () => Promise.reject(new Error("Cannot find package 'mailauth'"));
    const txt = { records: [['v=STSv1; id=1']] };
    const { currentId, fetch } = publishedPolicies(lookups({ txt }), missing);
    assert.deepEqual(await currentId('a.test'), {
      none: `TXT of _mta-sts.a.test: "Cannot find package 'mailauth'"`,
    });
    assert.deepEqual(await fetch('a.test'), { trouble: `"Cannot find package 'mailauth'"` });
  });
});
