// The examples of RFC 6376 and RFC 8463, as they are published: message, signature, key.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalField } from '../../../src/check/dkim/canonical.ts';
import { opinions } from './oracle.ts';
import { ed25519, rsa } from './test-keys.ts';
import { digest, verdicts, type Zone } from './verify.ts';

const lines = (...text: string[]) => text.map(line => `${line}\r\n`).join('');

const dinner = [
  'From: Joe SixPack <joe@football.example.com>',
  'To: Suzie Q <suzie@shopping.example.net>',
  'Subject: Is dinner ready?',
  'Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)',
  'Message-ID: <20030712040037.46341.5F8J@football.example.com>',
  '',
  'Hi.',
  '',
];

/** A.2; the key is that of appendix C. Verifies as published. */
const rfc6376 = lines(
  'DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;',
  '      c=simple/simple; q=dns/txt; i=joe@football.example.com;',
  '      h=Received : From : To : Subject : Date : Message-ID;',
  '      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;',
  '      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB',
  '      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut',
  '      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV',
  '      4bmp/YzhwvcubU4=;',
  'Received: from client1.football.example.com  [192.0.2.1]',
  '      by submitserver.example.com with SUBMISSION;',
  '      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)',
  ...dinner,
  'We lost the game. Are you hungry yet?',
  '',
  'Joe.',
);

/** A.3: one signature with each key. The second one is made with the key of `test`. */
const rfc8463 = lines(
  'DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;',
  ' d=football.example.com; i=@football.example.com;',
  ' q=dns/txt; s=brisbane; t=1528637909; h=from : to :',
  ' subject : date : message-id : from : subject : date;',
  ' bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;',
  ' b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus',
  ' Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==',
  'DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;',
  ' d=football.example.com; i=@football.example.com;',
  ' q=dns/txt; s=test; t=1528637909; h=from : to : subject :',
  ' date : message-id : from : subject : date;',
  ' bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;',
  ' b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3',
  ' DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz',
  ' dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=',
  ...dinner,
  'We lost the game.  Are you hungry yet?',
  '',
  'Joe.',
);

const zone: Zone = {
  'brisbane._domainkey.example.com': [
    [
      'v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQ',
      'DwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt',
      'IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7',
      'od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfV',
      'jH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB',
    ],
  ],
  'brisbane._domainkey.football.example.com': [['v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=']],
  'test._domainkey.football.example.com': [
    [
      'v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3id',
      'Y6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lx',
      'j+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB',
    ],
  ],
};
const now = 1_528_637_909;

const passing = async (message: string) => (await opinions(message, zone, now)).map(({ passes }) => passes);

test('RFC 6376 A.2', async () => {
  assert.deepEqual(verdicts(rfc6376, { zone, now, domain: 'example.com' }), ['pass']);
  assert.deepEqual(await passing(rfc6376), [true]);
  assert.deepEqual(verdicts(rfc6376, { zone, now }), ['unaligned'], 'its From is at football.example.com');
});

test('RFC 8463 A.3, both signatures', async () => {
  assert.deepEqual(verdicts(rfc8463, { zone, now }), ['pass', 'pass']);
  assert.deepEqual(await passing(rfc8463), [true, true]);
});

test('no octet that counts can change', async () => {
  for (const [from, to] of [
    ['Are you', 'are you'],
    ['Joe SixPack', 'Joe  Sixpack'],
    ['ready?', 'ready!'],
    ['date;\r\n bh', 'date ;\r\n bh'],
  ] as const) {
    const changed = rfc8463.replaceAll(from, to);
    assert.notEqual(changed, rfc8463);
    assert.ok(!verdicts(changed, { zone, now }).includes('pass'), from);
    assert.deepEqual(await passing(changed), [false, false], from);
  }
  const refolded = rfc6376.replace('h=Received : From', 'h=Received :  From');
  assert.deepEqual(verdicts(refolded, { zone, now, domain: 'example.com' }), ['signature does not match']);
});

test('the keys of the tests are those of the RFCs', () => {
  const key = (name: string) => zone[name]?.flat().join('').replace(/.*p=/, '');
  assert.equal(rsa.record.replace(/.*p=/, ''), key('brisbane._domainkey.example.com'));
  assert.equal(ed25519.record.replace(/.*p=/, ''), key('brisbane._domainkey.football.example.com'));
});

test('RFC 6376 3.4.5: canonical forms', () => {
  const header = ['A: X', 'B : Y\t\r\n\tZ  '];
  assert.deepEqual(
    header.map(field => canonicalField(field, 'relaxed')),
    ['a:X', 'b:Y Z'],
  );
  assert.deepEqual(
    header.map(field => canonicalField(field, 'simple')),
    header,
  );
  const body = ' C \r\nD \t E\r\n\r\n\r\n';
  const relaxed = digest(body, 'relaxed', [100]);
  assert.deepEqual(relaxed, digest(' C\r\nD E\r\n', 'simple', [100]));
  assert.equal(relaxed.octets, 9);
  assert.equal(digest(body, 'simple', [100]).octets, 12);
});

test('RFC 6376 3.4.3, 3.4.4: hashes of the empty body', () => {
  for (const body of ['', '\r\n', '\r\n\r\n\r\n']) {
    const { hash, octets } = digest(body, 'simple', [1]);
    assert.deepEqual([hash.toString('base64'), octets], ['frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=', 2]);
  }
  for (const body of ['', '\r\n', ' \t\r\n\r\n \r\n', ' ']) {
    const { hash, octets } = digest(body, 'relaxed', [1]);
    assert.deepEqual([hash.toString('base64'), octets], ['47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=', 0]);
  }
});
