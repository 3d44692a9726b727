// The log of the real process, as journald and mtail get it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { before, beforeEach, describe, test } from 'node:test';
import { version } from '../../src/version.ts';
import { assertLog, Binary, binary } from './binary.ts';
import { Client, sendOne } from './client.ts';
import { eventually } from './eventually.ts';
import { alice, bob, encrypted, plain, wire, written } from './mail.ts';
import { assertDelivered, NextHop } from './next-hop.ts';
import { Site } from './site.ts';
import { undoAtEnd } from './tidy.ts';

const serving = `INFO Outgoing: entering serving loop (filtermail ${version})`;
const noDkim = 'WARN DKIM verification DISABLED! This should not be used in production.';

let hop: NextHop;
let site: Site;

before(async () => {
  hop = await NextHop.start();
});
beforeEach(async () => {
  site = await Site.make(hop.port);
});

const withVariables = (variables: Record<string, string>) => ({ env: { ...process.env, ...variables } });

describe('the first lines', () => {
  for (const value of ['1', 'true', 'TRUE', 'True']) {
    test(`FILTERMAIL_SKIP_DKIM=${value} warns before everything else`, async () => {
      const filter = await Binary.serve(site, withVariables({ FILTERMAIL_SKIP_DKIM: value }));
      await filter.stop();
      assert.deepEqual(filter.log.all, [noDkim, serving]);
    });
  }

  for (const value of ['', '0', 'yes', 'on', ' 1', 'true ']) {
    test(`FILTERMAIL_SKIP_DKIM=${JSON.stringify(value)} means nothing`, async () => {
      const filter = await Binary.serve(site, withVariables({ FILTERMAIL_SKIP_DKIM: value }));
      await filter.stop();
      assert.deepEqual(filter.log.all, [serving]);
    });
  }

  for (const key of ['passthrough_senders', 'passthrough_recipients']) {
    test(`${key} set: after them, that unencrypted mail may leave`, async () => {
      const open = await Site.make(hop.port, { [key]: alice });
      const filter = await Binary.serve(open, withVariables({ FILTERMAIL_SKIP_DKIM: '1' }));
      await filter.stop();
      const [first, second, third, ...more] = filter.log.all;
      assert.deepEqual([first, second, more], [noDkim, serving, []]);
      assert.match(third ?? '', /^WARN .*unencrypted mail may leave/i);
      assert.match(third ?? '', new RegExp(key));
      // Metrics count every line that has this word in it.
      assert.doesNotMatch(third ?? '', /warning/i);
    });
  }
});

describe('RUST_LOG', () => {
  /** What a refused message makes visible: INFO and WARN lines, and DEBUG ones of the delivery of a good one. */
  async function levels(filter: string): Promise<Set<string>> {
    const process = Binary.launch({ args: [site.config, 'outgoing'], ...withVariables({ RUST_LOG: filter }) });
    // With the level above info nothing tells that it serves.
    let client: Client | null = null;
    while (client === null) client = await Client.connect(site.port).catch(() => null);
    await client.reply();
    await client.ask('EHLO client.test');
    assert.match(await client.send(plain('Hello\r\n')), /^523 /);
    assert.match(await client.send(encrypted()), /^250 /);
    hop.take();
    await client.quit();
    await process.stop();
    return new Set(process.log.all.map(line => line.split(' ', 1)[0] ?? ''));
  }

  const cases: [string, string[]][] = [
    ['', ['INFO', 'WARN']],
    ['off', []],
    ['error', []],
    ['warn', ['WARN']],
    ['WARN', ['WARN']],
    ['info', ['INFO', 'WARN']],
    ['debug', ['INFO', 'WARN', 'DEBUG']],
    ['trace', ['INFO', 'WARN', 'DEBUG']],
    ['warn,filtermail=debug', ['INFO', 'WARN', 'DEBUG']],
    ['filtermail=debug,warn', ['INFO', 'WARN', 'DEBUG']],
    ['debug,filtermail=warn', ['WARN']],
    ['info,hyper=off', ['INFO', 'WARN']],
    ['filtermail', ['INFO', 'WARN', 'DEBUG']],
    ['debug,filtermail=off', []],
    ['info/pattern', ['INFO', 'WARN']],
  ];
  for (const [filter, expected] of cases) {
    test(`RUST_LOG=${filter}`, async () => {
      const seen = await levels(filter);
      for (const level of ['INFO', 'WARN', 'DEBUG']) assert.equal(seen.has(level), expected.includes(level), level);
    });
  }
});

describe('hostile text', () => {
  test('addresses and From fields are escaped, one line each', async () => {
    const filter = await Binary.serve(site, withVariables({ RUST_LOG: 'trace' }));
    const client = await Client.hello(site.port);
    const senders = [
      '"a b"@one.test',
      '"\\"INFO Outgoing: Filtering encrypted mail."@one.test',
      'ERROR@@one.test',
      '\xff\xfe@one.test',
      '\xc3\xa4@one.test',
      `${'x'.repeat(3000)}@@one.test`,
      '\x1b[2J@one.test',
      'warn\ting@one.test',
    ];
    for (const sender of senders) {
      assert.match(await client.ask(`MAIL FROM:<${sender}>`), /^(?:50[01] 5\.1\.7|250) /, sender);
      await client.ask('RSET');
    }
    const other = await Client.hello(site.port);
    for (const from of ['"x\\\\y" <a@b.test>', 'a\xff@one.test', '=?utf-8?q?=0AINFO?= <eve@one.test>']) {
      await other.send(written(`From: ${from}\r\nSubject: x\r\n\r\nsecret text\r\n`, alice));
    }
    await other.quit();
    await client.quit();
    await filter.stop();
    assertLog(filter.log.all);
    const text = filter.log.all.join('\n');
    assert.doesNotMatch(text, /secret/, 'no content');
    assert.ok(text.length < 20_000, 'long addresses are cut');
    assert.equal(filter.log.all.filter(line => /^INFO /.test(line)).length, 4, 'serving and one line a message');
    assert.match(text, /\\xc3\\xa4@one\.test|\\xff@one\.test/);
    hop.take();
  });

  test('what the next hop says is escaped, in the log and in the reply', async () => {
    const filter = await Binary.serve(site);
    hop.answer = ({ verb }) => (verb === 'message' ? '550-5.7.1 a\x1b[2Jb\x00\r\n550 5.7.1 WARN \xe4\x7f' : undefined);
    const client = await Client.hello(site.port);
    assert.equal(await client.send(encrypted()), '550-5.7.1 a?[2Jb?\r\n550 5.7.1 WARN \xe4?');
    hop.answer = () => undefined;
    await client.quit();
    await filter.stop();
    assert.equal(filter.log.all.filter(line => line.startsWith('WARN ')).length, 1);
  });
});

describe('a log that nobody reads', () => {
  test('mail goes on, and what was lost is counted once somebody reads', async () => {
    const child = spawn(binary, [site.config, 'outgoing'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, RUST_LOG: 'info' },
    });
    const forget = undoAtEnd(() => child.kill('SIGKILL'));
    const exited = new Promise(resolve => child.once('close', resolve));
    let client: Client | null = null;
    while (client === null) client = await Client.connect(site.port).catch(() => null);
    assert.match(await client.reply(), /^220 /);
    await client.ask('EHLO client.test');
    // 2.5 MiB in all: more than pipe and log hold.
    const lines = 7000;
    const long = `${'x'.repeat(700)}@@one.test`;
    for (let sent = 0; sent < lines; sent += 500) {
      void client.write(`MAIL FROM:<${long}>\r\n`.repeat(500));
      for (let count = 0; count < 500; count++) assert.match(await client.reply(), /^500 5\.1\.7 /);
    }
    const mail = encrypted();
    assert.match(await client.send(mail), /^250 /);
    assertDelivered(hop, mail.wire);
    await client.quit();

    let text = '';
    child.stderr.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
    });
    const counted = /^WARN (\d+) log lines were dropped/m;
    await eventually(() => assert.ok(counted.test(text), 'the number of lost lines'));
    const seen = text.split('\n').filter(line => line.includes('refused sender')).length;
    const dropped = Number(counted.exec(text)?.[1]);
    const infos = text.split('\n').filter(line => line.startsWith('INFO ')).length;
    assert.equal(seen + infos + dropped, lines + 2, 'every line was written or counted');
    child.kill('SIGTERM');
    assert.equal(await exited, 0);
    forget();
    assertLog(text.split('\n').slice(0, -1));
  });

  test('a log whose reader has gone does not stop mail', async () => {
    const filter = await Binary.serve(site);
    filter.closeLog();
    for (let count = 0; count < 3; count++) assert.match(await sendOne(site.port, plain('Hello\r\n')), /^523 /);
    const mail = { from: alice, to: [bob], wire: wire(Buffer.from(encrypted().wire.subarray(0, -3))) };
    assert.match(await sendOne(site.port, mail), /^250 /);
    hop.take();
    filter.signal('SIGTERM');
    assert.equal(await filter.ended(), 0);
  });
});
