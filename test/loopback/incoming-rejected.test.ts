// What the admin finds of mail that was refused: the file, octet for octet, and the log line that leads to it.

import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import type { Mail } from './client.ts';
import { type Entrance, entrances, http, smtp } from './entrances.ts';
import { Gate, needsEncryption, noSignature, noValidSignature, passed } from './incoming-gate.ts';
import { author, letter, me, readableText, sealedBy, signed, zeroes } from './incoming-mail.ts';
import { wire } from './mail.ts';
import { Site } from './site.ts';

const two = author('two.test');
const free = 'free@one.test';
const kept = /; kept as (\S+)$/;
const mebibyte = 1024 * 1024;

/** Refused, and the file that the log names; the message (an octet string) as its sender wrote it. */
async function refusedFile(gate: Gate, entrance: Entrance, mail: Mail): Promise<string> {
  const { reply, log } = await gate.sent(entrance, mail);
  assert.match(reply, /^554 5\.7\.1 No (?:valid )?DKIM signature found$/);
  const path = kept.exec(log.at(-1) ?? '')?.[1];
  assert.ok(path, log.join('\n'));
  return path;
}

const files = (gate: Gate) => readdirSync(join(gate.site.rejected, 'dkim-verify')).sort();
const toFree = (text: string) => letter(text, { to: [free] });

describe('a file', () => {
  let gate: Gate;
  before(async () => {
    gate = await Gate.open([two], {}, { through: ['sh', '-c', 'umask 0; exec "$@"', 'sh'] });
  });

  const texts: [name: string, text: string][] = [
    ['dots', '.\r\n..\r\n.a\r\n\r\n.\r\n'],
    ['8-bit octets', 'caf\xe9 \x80\xff\x01\r\n'],
    ['no body', ''],
    ['a long line', `${'x'.repeat(300_000)}\r\n`],
    ['300,000 lines', 'x\r\n'.repeat(300_000)],
    ['12 MiB of dots', `${'.'.repeat(62)}\r\n`.repeat((12 * mebibyte) / 64)],
  ];
  for (const [name, body] of texts) {
    for (const entrance of entrances) {
      test(`octet for octet: ${name}, over ${entrance.name}`, async () => {
        const message = readableText(me, body);
        const began = Math.floor(Date.now() / 1000);
        const path = await refusedFile(gate, entrance, toFree(message));
        assert.ok(path.startsWith(`${gate.site.rejected}/dkim-verify/`), path);
        const [, time = ''] = /\/(\d{10})-[0-9a-f]{8}\.eml$/.exec(path) ?? [];
        assert.ok(Number(time) >= began && Number(time) <= Date.now() / 1000, path);
        assert.ok(readFileSync(path).equals(Buffer.from(message, 'latin1')));
        assert.equal(statSync(path).mode & 0o7777, 0o600);
        assert.equal(statSync(join(path, '..')).mode & 0o7777, 0o700);
      });
    }
  }

  test('the header as it came, signatures included; and a line for each of them', async () => {
    const message = signed(author('list.test'), sealedBy(two, undefined, { spoil: zeroes }));
    const mark = gate.filter.log.mark;
    const path = await refusedFile(gate, smtp, letter(message));
    assert.equal(readFileSync(path, 'latin1'), message);
    const line = gate.filter.log.since(mark)[1] ?? '';
    assert.match(line, /: No valid DKIM signature found; d=two\.test s=s1: signature does not match; d=list\.test: /);
  });

  test('none of what is refused for another reason, nor of what passes', async () => {
    const before = files(gate);
    gate.site.enforceEncryption('vic@one.test');
    assert.equal(await smtp.send(gate.site, letter(readableText())), needsEncryption);
    assert.match(await smtp.send(gate.site, letter('Subject: x\r\n\r\n')), /^500 /);
    assert.equal(await smtp.send(gate.site, letter(sealedBy(two))), passed);
    gate.site.disable('gone@one.test');
    assert.match(await smtp.send(gate.site, letter(readableText(), { to: ['gone@one.test'] })), /^250 /);
    assert.deepEqual(files(gate), before);
  });

  test('a directory that is deleted while it runs is made again', async () => {
    for (const path of [join(gate.site.rejected, 'dkim-verify'), gate.site.rejected]) {
      rmSync(path, { recursive: true });
      const file = await refusedFile(gate, smtp, toFree(readableText()));
      assert.equal(readFileSync(file, 'latin1'), readableText());
      assert.equal(statSync(join(file, '..')).mode & 0o7777, 0o700);
    }
  });

  test('a directory that was opened to others is closed again', async () => {
    chmodSync(join(gate.site.rejected, 'dkim-verify'), 0o755);
    const file = await refusedFile(gate, smtp, toFree(readableText()));
    assert.equal(statSync(join(file, '..')).mode & 0o7777, 0o700);
  });

  test('a link that somebody puts in its place is not followed', async () => {
    const elsewhere = join(gate.site.directory, 'elsewhere');
    mkdirSync(elsewhere);
    for (const [place, target] of [
      [join(gate.site.rejected, 'dkim-verify'), elsewhere],
      [gate.site.rejected, elsewhere],
    ] as const) {
      rmSync(place, { recursive: true });
      symlinkSync(target, place);
      for (const entrance of entrances) {
        const { reply, log } = await gate.sent(entrance, toFree(readableText()));
        assert.equal(reply, noSignature);
        assert.match(log.at(-1) ?? '', /; not kept: /);
      }
      assert.deepEqual(readdirSync(elsewhere), []);
      rmSync(place);
    }
  });

  test('at most 100, the oldest go first; other files stay', async () => {
    rmSync(gate.site.rejected, { recursive: true, force: true });
    const directory = join(gate.site.rejected, 'dkim-verify');
    mkdirSync(directory, { recursive: true });
    const old = Array.from({ length: 100 }, (_, n) => `${999_999_950 + n}-00000000.eml`);
    for (const name of old) writeFileSync(join(directory, name), 'x');
    writeFileSync(join(directory, 'README'), 'x');
    writeFileSync(join(directory, '5-0000000.eml'), 'x');
    const fresh = [];
    for (let n = 0; n < 3; n++) fresh.push(await refusedFile(gate, smtp, toFree(readableText())));
    const names = fresh.map(path => path.slice(directory.length + 1));
    assert.deepEqual(files(gate), [...old.slice(3), ...names, 'README', '5-0000000.eml'].sort());
  });

  test('150 at the same time: at most 100 are left, whole, and every line names a file', async () => {
    rmSync(gate.site.rejected, { recursive: true });
    const mark = gate.filter.log.mark;
    const mail = toFree(readableText());
    const replies = await Promise.all(
      Array.from({ length: 150 }, (_, n) => (n % 2 === 0 ? smtp : http).send(gate.site, mail)),
    );
    assert.deepEqual(new Set(replies), new Set([noSignature]));
    const log = await gate.logged(mark);
    assert.equal(log.filter(line => kept.test(line)).length, 150);
    const left = files(gate);
    assert.equal(left.length, 100);
    for (const name of left) {
      assert.equal(readFileSync(join(gate.site.rejected, 'dkim-verify', name), 'latin1'), readableText());
    }
  });

  test('at most 100 MiB, whole messages', async () => {
    rmSync(gate.site.rejected, { recursive: true });
    const body = `${'x'.repeat(1022)}\r\n`.repeat(24 * 1024);
    const message = readableText(me, body);
    const mail = toFree(message);
    for (let n = 0; n < 2; n++) await Promise.all([smtp.send(gate.site, mail), http.send(gate.site, mail)]);
    assert.equal(files(gate).length, 4);
    await Promise.all([smtp.send(gate.site, mail), http.send(gate.site, mail)]);
    const sizes = files(gate).map(name => statSync(join(gate.site.rejected, 'dkim-verify', name)).size);
    assert.deepEqual(sizes, Array(4).fill(message.length));
  });

  test('its log is one, nothing is left open, and it ends well', async () => {
    assert.equal(gate.filter.descriptors().filter(path => path.startsWith(gate.site.rejected)).length, 0);
    await gate.stop();
  });
});

test('no room for the file: refused all the same, the log says why, and no part of it stays', async () => {
  const through = ['sh', '-c', 'trap "" XFSZ; ulimit -f 16; exec "$@"', 'sh'];
  const gate = await Gate.open([two], {}, { through });
  for (const entrance of entrances) {
    const { reply, log } = await gate.sent(entrance, toFree(readableText(me, 'x\r\n'.repeat(20_000))));
    assert.equal(reply, noSignature);
    assert.match(log.at(-1) ?? '', /; not kept: .*(?:EFBIG|space)/);
    assert.deepEqual(files(gate), []);
    await refusedFile(gate, entrance, toFree(readableText()));
    rmSync(gate.site.rejected, { recursive: true });
  }
  await gate.stop();
});

for (const [name, shown] of [
  ['refused mail', 'refused mail'],
  ['verd\u00e4chtig', 'verd\\x'],
] as const) {
  test(`the log still names the file in a directory ${JSON.stringify(name)}`, async () => {
    const site = await Site.make(1);
    const directory = join(site.directory, name);
    const gate = await Gate.open([two], { filtermail_rejected_dir: directory });
    const { log } = await gate.sent(smtp, toFree(readableText()));
    const [file = ''] = readdirSync(join(directory, 'dkim-verify'));
    const line = log.at(-1) ?? '';
    assert.ok(line.includes(join(site.directory, shown)) && line.includes(file), line);
    await gate.stop();
  });
}

test('a link with a slash behind it in the settings is a link too', async () => {
  const site = await Site.make(1);
  const elsewhere = join(site.directory, 'elsewhere');
  mkdirSync(elsewhere);
  symlinkSync('elsewhere', join(site.directory, 'link'));
  for (const tail of ['/', '/.']) {
    const gate = await Gate.open([two], { filtermail_rejected_dir: `${join(site.directory, 'link')}${tail}` });
    const { reply } = await gate.sent(smtp, toFree(readableText()));
    assert.equal(reply, noSignature);
    assert.deepEqual(readdirSync(elsewhere), [], tail);
    await gate.stop();
  }
});

test('a directory of another user is not used', { skip: process.getuid?.() !== 0 }, async () => {
  for (const place of ['', 'dkim-verify']) {
    const site = await Site.make(1);
    const path = join(site.directory, 'foreign');
    mkdirSync(join(path, place), { recursive: true });
    chmodSync(join(path, place), 0o777);
    chownSync(join(path, place), 65_534, 65_534);
    const gate = await Gate.open([two], { filtermail_rejected_dir: path });
    await gate.filter.log.find(/^WARN Incoming: refused mail cannot be kept: .*belongs to user 65534/);
    const { reply, log } = await gate.sent(smtp, letter(sealedBy(two, undefined, { spoil: zeroes })));
    assert.equal(reply, noValidSignature);
    assert.match(log.at(-1) ?? '', /; not kept: .*belongs to user 65534/);
    assert.deepEqual(readdirSync(join(path, place)), []);
    await gate.stop();
  }
});

test('a message that nobody may keep is refused as quickly', async () => {
  const gate = await Gate.open([two], { filtermail_rejected_dir: '/proc/nowhere' });
  const message = wire(Buffer.from(readableText(me, 'x\r\n'.repeat(1_000_000))));
  const began = performance.now();
  assert.equal(await smtp.send(gate.site, { from: me, to: [free], wire: message }), noSignature);
  assert.ok(performance.now() - began < 3000);
  await gate.stop();
});
