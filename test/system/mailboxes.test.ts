// Marker files in mailbox directories: which path is looked at, and what each answer of the file system means.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { openMailboxes, type Presence } from '../../src/system/mailboxes.ts';
import { otherSpellings } from '../message/spellings.ts';

const top = mkdtempSync(join(tmpdir(), 'filtermail-mailboxes-'));
after(() => rmSync(top, { recursive: true }));
chmodSync(top, 0o755);
const directory = join(top, 'mail');
mkdirSync(directory);

function mailbox(name: string, ...markers: string[]): string {
  const path = join(directory, name);
  mkdirSync(path, { recursive: true });
  for (const marker of markers) writeFileSync(join(path, marker), '');
  return path;
}

mailbox('vic@one.test', 'DISABLED', 'enforceE2EEincoming');
mailbox('free@one.test');
mailbox('vic@[192.0.2.1]', 'DISABLED');
// Where a path that leaves the directory, or a careless join, would find something.
for (const path of [top, join(top, 'one.test'), directory]) {
  mkdirSync(path, { recursive: true });
  for (const marker of ['DISABLED', 'enforceE2EEincoming']) writeFileSync(join(path, marker), '');
}
mailbox('..@one.test', 'DISABLED');
mailbox('vic@two.test', 'DISABLED');
mailbox('"vic"@one.test', 'DISABLED');
mailbox('vic+tag@one.test', 'DISABLED');

const mailboxes = openMailboxes(directory, ['one.test']);
const unknown = (presence: Presence) => typeof presence === 'object' && presence.unknown !== '';

describe('present', () => {
  for (const address of ['vic@one.test', 'VIC@ONE.TEST', 'Vic@one.test', 'vic+tag@one.test', 'vic+a.b@one.test']) {
    test(address, () => {
      assert.equal(mailboxes.look(address, 'DISABLED'), 'present');
      assert.equal(mailboxes.look(address, 'enforceE2EEincoming'), 'present');
    });
  }

  test('in a domain that is an address literal', () => {
    assert.equal(openMailboxes(directory, ['[192.0.2.1]']).look('VIC@[192.0.2.1]', 'DISABLED'), 'present');
  });
});

describe('absent: no marker, no mailbox, not local, not plain', () => {
  const traversals = [
    '..@one.test',
    '.@one.test',
    '../vic@one.test',
    'x/../vic@one.test',
    '/vic@one.test',
    'vic@one.test/../vic@one.test',
    'vic@..',
    '@one.test',
    '.',
    '..',
    '/',
    '',
    'vic@one.test\0',
    'vic\0@one.test',
  ];
  for (const address of [
    'free@one.test',
    'nobody@one.test',
    'vic@two.test',
    'vic@sub.one.test',
    ...traversals,
    ...otherSpellings,
  ]) {
    if (/^vic\+a\+b|^vic@one\.test$/.test(address)) continue;
    test(JSON.stringify(address), () => assert.equal(mailboxes.look(address, 'DISABLED'), 'absent'));
  }

  test('no mailboxes at all', () => {
    assert.equal(openMailboxes(join(top, 'nowhere'), ['one.test']).look('vic@one.test', 'DISABLED'), 'absent');
  });

  test('a symbolic link that leads nowhere', () => {
    symlinkSync('nowhere', join(mailbox('dangling@one.test'), 'DISABLED'));
    assert.equal(mailboxes.look('dangling@one.test', 'DISABLED'), 'absent');
  });
});

describe('unknown: the file system does not tell', () => {
  test('the mailbox is no directory (ENOTDIR)', () => {
    writeFileSync(join(directory, 'file@one.test'), '');
    assert.ok(unknown(mailboxes.look('file@one.test', 'DISABLED')));
  });

  test('a link that leads to itself (ELOOP)', () => {
    symlinkSync('DISABLED', join(mailbox('loop@one.test'), 'DISABLED'));
    assert.ok(unknown(mailboxes.look('loop@one.test', 'DISABLED')));
  });

  test('a name that is too long (ENAMETOOLONG)', () => {
    assert.ok(unknown(mailboxes.look(`${'x'.repeat(300)}@one.test`, 'DISABLED')));
  });

  test('a directory that may not be searched (EACCES)', () => {
    const path = mailbox('closed@one.test', 'DISABLED');
    chmodSync(path, 0o000);
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(65_534);
    try {
      assert.ok(unknown(mailboxes.look('closed@one.test', 'DISABLED')));
    } finally {
      if (isRoot) process.seteuid?.(0);
      chmodSync(path, 0o700);
    }
  });
});
