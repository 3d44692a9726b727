// The incoming mode as it starts: what it warns of, and what it does without DKIM, mailboxes or a place for refused mail.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { version } from '../../src/version.ts';
import { encryptedMail } from '../message/samples.ts';
import { freePort } from '../peers/ports.ts';
import { Binary } from './binary.ts';
import { entrances, smtp } from './entrances.ts';
import { Gate, needsEncryption, noSignature, nothingLeft, passed, tryLater } from './incoming-gate.ts';
import { author, letter, me, readableText, sealedBy, signed } from './incoming-mail.ts';
import { Site } from './site.ts';

const two = author('two.test');
const disabledLine = 'WARN DKIM verification DISABLED! This should not be used in production.';
const servingLine = `INFO Incoming: entering serving loop (filtermail ${version})`;
const unsigned = encryptedMail({ header: `From: <${me}>\r\nSubject: x\r\n` });
const withSkip = (value: string | undefined) => ({ env: { ...process.env, FILTERMAIL_SKIP_DKIM: value } });

describe('FILTERMAIL_SKIP_DKIM', { concurrency: 4 }, () => {
  for (const value of ['1', 'true', 'TRUE', 'True']) {
    test(`${value}: said first, and nobody needs a signature`, async () => {
      const gate = await Gate.open([], { filtermail_rejected_dir: '/nowhere/at/all' }, withSkip(value));
      assert.deepEqual(gate.filter.log.all.slice(0, 2), [disabledLine, servingLine]);
      for (const entrance of entrances) {
        assert.equal(await entrance.send(gate.site, letter(unsigned)), passed);
        assert.equal(await entrance.send(gate.site, letter(sealedBy(two))), passed);
        assert.equal(
          await entrance.send(gate.site, letter(readableText(), { to: ['"vic"@one.test'] })),
          needsEncryption,
        );
        assert.match(await entrance.send(gate.site, letter(`From: a@b.c\r\n${unsigned}`)), /^500 5\.6\.0 /);
      }
      assert.deepEqual(gate.dns.questions, []);
      await gate.stop();
      assert.equal(gate.filter.log.all.filter(line => line === disabledLine).length, 1);
    });
  }

  for (const value of ['0', 'yes', '', 'false', '2', ' 1', undefined]) {
    test(`${JSON.stringify(value)}: signatures count`, async () => {
      const gate = await Gate.open([two], {}, withSkip(value));
      assert.equal(gate.filter.log.all[0], servingLine);
      assert.equal(await smtp.send(gate.site, letter(unsigned)), noSignature);
      assert.equal(await smtp.send(gate.site, letter(sealedBy(two))), passed);
      await gate.stop();
    });
  }

  test('the first line even when nothing but errors is found afterwards', async () => {
    const site = await Site.make(1, { postfix_host: 'name.invalid' });
    const filter = Binary.launch({ args: [site.config, 'incoming'], ...withSkip('1') });
    assert.equal(await filter.ended(), 1);
    assert.equal(filter.log.all[0], disabledLine);
  });
});

describe('no mailboxes', { concurrency: 4 }, () => {
  const readable = () => letter(signed(two, readableText()), { to: ['free@one.test'] });

  for (const [name, prepare] of [
    ['missing', () => undefined],
    ['a file', (path: string) => writeFileSync(path, '')],
    ['a link that leads nowhere', (path: string) => symlinkSync('nowhere', path)],
  ] as const) {
    test(`mailboxes_dir is ${name}: said at the start, and everybody enforces encryption`, async () => {
      const directory = join(
        process.env.TMPDIR ?? '/tmp',
        `filtermail-mailboxes-${process.pid}-${name.replaceAll(' ', '')}`,
      );
      prepare(directory);
      const gate = await Gate.open([two], { mailboxes_dir: directory });
      await gate.filter.log.find(/^WARN Incoming: every address enforces encryption: mailboxes_dir \//);
      for (const entrance of entrances) {
        assert.equal(await entrance.send(gate.site, readable()), needsEncryption);
        assert.equal(await entrance.send(gate.site, letter(sealedBy(two), { to: ['free@one.test'] })), passed);
      }
      rmSync(directory, { force: true });
      await gate.stop();
    });
  }

  test('mailboxes that come later and go again count as they are', async () => {
    const gate = await Gate.open([two]);
    assert.equal(await smtp.send(gate.site, readable()), passed);
    rmSync(gate.site.mailboxes, { recursive: true });
    assert.equal(await smtp.send(gate.site, readable()), needsEncryption);
    mkdirSync(gate.site.mailboxes);
    assert.equal(await smtp.send(gate.site, readable()), passed);
    await gate.stop();
  });
});

describe('filtermail_rejected_dir that cannot be used: said at the start, refused all the same, and the log says why', {
  concurrency: 4,
}, () => {
  for (const [name, prepare] of [
    ['a file', (path: string) => writeFileSync(path, '')],
    ['in a directory that is missing', () => undefined],
    ['a link', (path: string) => symlinkSync('mailboxes', path)],
    [
      'a directory with a link in it',
      (path: string) => {
        mkdirSync(path);
        symlinkSync('../mailboxes', join(path, 'dkim-verify'));
      },
    ],
    [
      'a directory with a file in it',
      (path: string) => {
        mkdirSync(path);
        writeFileSync(join(path, 'dkim-verify'), '');
      },
    ],
  ] as const) {
    test(name, async () => {
      const site = await Site.make(1);
      const path = name.startsWith('in ') ? join(site.directory, 'missing', 'rejected') : join(site.directory, 'kept');
      prepare(path);
      const gate = await Gate.open([two], { filtermail_rejected_dir: path });
      await gate.filter.log.find(
        /^WARN Incoming: refused mail cannot be kept: filtermail_rejected_dir \/.*kept|rejected/,
      );
      for (const entrance of entrances) {
        const { reply, log } = await gate.sent(entrance, letter(unsigned));
        assert.equal(reply, noSignature);
        assert.match(
          log.at(-1) ?? '',
          /^WARN Incoming: refused mail from .*: No DKIM signature found; not kept: "?.*[A-Z]/,
        );
        assert.equal(await entrance.send(gate.site, letter(sealedBy(two))), passed);
      }
      await gate.stop();
    });
  }

  test('one that others may read is closed to them', async () => {
    const site = await Site.make(1);
    mkdirSync(join(site.rejected, 'dkim-verify'), { recursive: true });
    chmodSync(join(site.rejected, 'dkim-verify'), 0o755);
    const gate = await Gate.open([two], { filtermail_rejected_dir: site.rejected });
    assert.equal(gate.filter.log.all.length, 1, gate.filter.log.all.join('\n'));
    await gate.stop();
  });
});

test('a relay without DNS: its users are at an address literal, in DISABLED and enforcement too', async () => {
  const gate = await Gate.open([two], { mail_domain: '192.0.2.9' });
  const at = (user: string) => `${user}@[192.0.2.9]`;
  gate.site.enforceEncryption(at('vic'));
  gate.site.disable(at('gone'));
  const readable = signed(two, readableText());
  for (const entrance of entrances) {
    const foreign = entrance === smtp ? needsEncryption : '550 5.7.1 Relay access denied';
    for (const [to, reply] of [
      [at('free'), passed],
      [at('FREE+tag'), passed],
      [at('vic'), needsEncryption],
      [at('Vic+tag'), needsEncryption],
      ['free@192.0.2.9', foreign],
      ['free@[192.0.2.8]', foreign],
      ['free@one.test', foreign],
      [at('gone'), nothingLeft],
    ] as const) {
      assert.equal(await entrance.send(gate.site, letter(readable, { to: [to] })), reply, to);
    }
  }
  await gate.stop();
});

test('nobody listens where the name server should be: mail is put off at once', async () => {
  const gate = await Gate.open([], { filtermail_dns_servers: `127.0.0.1:${await freePort()}` });
  for (const entrance of entrances) assert.match(await entrance.send(gate.site, letter(sealedBy(two))), tryLater);
  await gate.stop();
});
