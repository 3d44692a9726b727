// Marker files in mailbox directories: which path is looked at, and what each answer of the file system means.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { openMailboxes } from '../../src/system/mailboxes.ts';
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
writeFileSync(join(directory, 'no-directory'), '');
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

/** Nobody can tell whether the mailbox is disabled; then it enforces encryption. */
function isUnknown(address: string): boolean {
  const presence = mailboxes.disabled(address);
  return typeof presence === 'object' && presence.unknown !== '' && mailboxes.enforcesEncryption(address);
}

describe('present', () => {
  for (const address of ['vic@one.test', 'VIC@ONE.TEST', 'Vic@one.test', 'vic+tag@one.test', 'vic+a.b@one.test']) {
    test(address, () => {
      assert.equal(mailboxes.disabled(address), 'present');
      assert.equal(mailboxes.enforcesEncryption(address), true);
    });
  }

  test('in a domain that is an address literal', () => {
    assert.equal(openMailboxes(directory, ['[192.0.2.1]']).disabled('VIC@[192.0.2.1]'), 'present');
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
    test(JSON.stringify(address), () => assert.equal(mailboxes.disabled(address), 'absent'));
    if (!/^(?:free|nobody)@one\.test$/.test(address)) {
      test(`${JSON.stringify(address)} enforces encryption`, () =>
        assert.equal(mailboxes.enforcesEncryption(address), true));
    }
  }

  test('no mailboxes at all', () => {
    assert.equal(openMailboxes(join(top, 'nowhere'), ['one.test']).disabled('vic@one.test'), 'absent');
  });

  test('a symbolic link that leads nowhere', () => {
    symlinkSync('nowhere', join(mailbox('dangling@one.test'), 'DISABLED'));
    assert.equal(mailboxes.disabled('dangling@one.test'), 'absent');
  });
});

describe('encryption is not enforced where the marker is certainly absent', () => {
  for (const address of ['free@one.test', 'FREE+tag@One.Test', 'nobody@one.test']) {
    test(address, () => assert.equal(mailboxes.enforcesEncryption(address), false));
  }

  test('a mailbox that is a link', () => {
    symlinkSync('free@one.test', join(directory, 'linked@one.test'));
    assert.equal(mailboxes.enforcesEncryption('linked@one.test'), false);
    writeFileSync(join(directory, 'linked@one.test', 'enforceE2EEincoming'), '');
    assert.equal(mailboxes.enforcesEncryption('linked@one.test'), true);
    rmSync(join(directory, 'free@one.test', 'enforceE2EEincoming'));
  });

  test('not without mailboxes, nor behind a link that leads nowhere', () => {
    assert.equal(openMailboxes(join(top, 'nowhere'), ['one.test']).enforcesEncryption('free@one.test'), true);
    assert.equal(
      openMailboxes(join(directory, 'no-directory'), ['one.test']).enforcesEncryption('free@one.test'),
      true,
    );
    symlinkSync('nowhere', join(mailbox('dangling@one.test'), 'enforceE2EEincoming'));
    assert.equal(mailboxes.enforcesEncryption('dangling@one.test'), true);
  });
});

describe('unknown: the file system does not tell', () => {
  test('the mailbox is no directory (ENOTDIR)', () => {
    writeFileSync(join(directory, 'file@one.test'), '');
    assert.ok(isUnknown('file@one.test'));
  });

  test('a link that leads to itself (ELOOP)', () => {
    symlinkSync('loop@one.test', join(directory, 'loop@one.test'));
    assert.ok(isUnknown('loop@one.test'));
  });

  test('a name that is too long (ENAMETOOLONG)', () => {
    assert.ok(isUnknown(`${'x'.repeat(300)}@one.test`));
  });

  test('a directory that may not be searched (EACCES)', () => {
    const path = mailbox('closed@one.test', 'DISABLED');
    chmodSync(path, 0o000);
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(65_534);
    try {
      assert.ok(isUnknown('closed@one.test'));
    } finally {
      if (isRoot) process.seteuid?.(0);
      chmodSync(path, 0o700);
    }
  });
});
