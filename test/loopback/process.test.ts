// The process: how it starts and from where, what it says when it cannot, and what the kernel sees of it.

import assert from 'node:assert/strict';
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Binary, binary, type Launch } from './binary.ts';
import { Client, sendOne } from './client.ts';
import { encrypted } from './mail.ts';
import { assertDelivered, NextHop } from './next-hop.ts';
import { Site } from './site.ts';

let hop: NextHop;
let site: Site;

before(async () => {
  hop = await NextHop.start();
});
beforeEach(async () => {
  site = await Site.make(hop.port);
});

/** A start that fails: exit status and what stderr says. */
async function failing(
  args: readonly string[],
  launch: Omit<Launch, 'args'> = {},
): Promise<[number | string, string[]]> {
  const filter = Binary.launch({ args, ...launch });
  const status = await filter.ended();
  assert.equal(filter.stdout, '', 'stdout');
  return [status, filter.log.all];
}

describe('usage errors', () => {
  for (const args of [
    [],
    ['x.ini'],
    ['x.ini', 'sideways'],
    ['x.ini', 'outgoing', 'more'],
    ['outgoing', 'x.ini'],
    ['--help'],
  ]) {
    test(`filtermail ${args.join(' ')}`, async () => {
      assert.deepEqual(await failing(args), [64, ['usage: filtermail <config> incoming|outgoing|transport']]);
    });
  }
});

describe('configurations that are no good', () => {
  test('ten faults are ten lines, each with key and value', async () => {
    const faults = {
      max_message_size: 'big',
      max_user_send_per_minute: '0',
      max_user_send_burst_size: '-1',
      filtermail_smtp_port: '65536',
      postfix_reinject_port: '10025x',
      filtermail_host: 'localhost',
      postfix_host: 'not a host',
      mailboxes_dir: 'relative',
      filtermail_spool_dir: '~/spool',
      passthrough_senders: 'alice',
    };
    const path = join(site.directory, 'faults.ini');
    writeFileSync(
      path,
      `[params]\nmail_domain = one.test\n${Object.entries(faults)
        .map(fault => `${fault.join(' = ')}\n`)
        .join('')}`,
    );
    const [status, lines] = await failing([path, 'outgoing']);
    assert.equal(status, 78);
    assert.equal(lines.length, 10, lines.join('\n'));
    for (const [index, [key, value]] of Object.entries(faults).entries()) {
      const line = lines[index] ?? '';
      assert.ok(line.includes(key) && line.includes(value), line);
      assert.match(line, /^[\x20-\x7e]+$/);
    }
  });

  const others: [string, string | Buffer | null, RegExp][] = [
    ['that does not exist', null, /no such file/],
    ['that is empty', '', /\[params\]/],
    ['that is no text', Buffer.from([0, 255, 27, 91, 50, 74, 13, 10]), /./],
    ['without mail_domain', '[params]\n', /mail_domain/],
  ];
  for (const [name, content, expected] of others) {
    test(`a file ${name}`, async () => {
      const path = join(site.directory, `${name.replaceAll(' ', '-')}.ini`);
      if (content !== null) writeFileSync(path, content);
      const [status, lines] = await failing([path, 'outgoing']);
      assert.equal(status, 78);
      assert.ok(lines.length > 0);
      for (const line of lines) {
        assert.match(line, /^[\x20-\x7e]+$/);
        assert.doesNotMatch(line, /^\s+at /, 'no stack trace');
      }
      assert.match(lines.join('\n'), expected);
    });
  }

  test('a directory in place of the file', async () => {
    const [status, lines] = await failing([site.directory, 'outgoing']);
    assert.deepEqual([status, lines.length], [78, 1], lines.join('\n'));
  });
});

describe('starts that fail', () => {
  test('the port is taken', async () => {
    const other = createServer().listen(site.port, '127.0.0.1');
    const [status, lines] = await failing([site.config, 'outgoing']);
    other.close();
    assert.deepEqual([status, lines.length], [1, 1], lines.join('\n'));
    assert.match(lines[0] ?? '', new RegExp(`^ERROR .*127\\.0\\.0\\.1:${site.port}`));
  });

  test('the address is not ours', async () => {
    const far = await Site.make(hop.port, { filtermail_host: '192.0.2.1' });
    const [status, lines] = await failing([far.config, 'outgoing']);
    assert.deepEqual([status, lines.length], [1, 1], lines.join('\n'));
    assert.match(lines[0] ?? '', /^ERROR .*192\.0\.2\.1/);
  });

  test('postfix_host has no address', async () => {
    const lost = await Site.make(hop.port, { postfix_host: 'nosuchhost' });
    // An alias for a name that cannot be asked for: the resolver fails without a look-up.
    const aliases = join(lost.directory, 'aliases');
    writeFileSync(aliases, 'nosuchhost a..b\n');
    const [status, lines] = await failing([lost.config, 'outgoing'], { env: { ...process.env, HOSTALIASES: aliases } });
    assert.deepEqual([status, lines.length], [1, 1], lines.join('\n'));
    assert.match(lines[0] ?? '', /^ERROR .*nosuchhost/);
  });
});

/** Mail passes, and the log of the run is in order. */
async function serves(launch: Omit<Launch, 'args'>): Promise<void> {
  const filter = await Binary.serve(site, launch);
  const mail = encrypted();
  assert.match(await sendOne(site.port, mail), /^250 /);
  assertDelivered(hop, mail.wire);
  await filter.stop();
}

describe('where it starts from', () => {
  test('another working directory', () => serves({ cwd: '/' }));

  test('a symbolic link, itself behind a link, called by a relative path', async () => {
    const links = join(site.directory, 'links');
    mkdirSync(links);
    symlinkSync(binary, join(links, 'one'));
    symlinkSync('links/one', join(site.directory, 'two'));
    await serves({ cwd: links, program: '../two' });
  });

  test('an empty environment', () => serves({ env: {} }));

  test('HOME unset', () => serves({ env: { ...process.env, HOME: undefined } }));

  test('a CDPATH that makes cd talkative', () => serves({ cwd: '/', env: { ...process.env, CDPATH: '/:/tmp' } }));

  test('a compile cache that cannot be written', () =>
    serves({ env: { ...process.env, NODE_COMPILE_CACHE: '/dev/null/cache' } }));

  test('a checkout that cannot be written', async () => {
    const root = fileURLToPath(new URL('../..', import.meta.url));
    const copy = join(site.directory, 'check out'); // and with a blank in its name
    mkdirSync(copy);
    for (const name of ['bin', 'scripts', 'src', 'package.json'])
      cpSync(join(root, name), join(copy, name), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    chmodSync(copy, 0o500);
    // Root may write anywhere, unless it has no capabilities.
    const bare = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all'] : [];
    try {
      await serves({ program: join(copy, 'bin/filtermail'), through: bare });
      assert.ok(!readdirSync(copy).includes('.cache'), 'nothing was written');
    } finally {
      chmodSync(copy, 0o700);
    }
  });
});

describe('what the kernel sees', () => {
  /** The listening sockets of the process: local address and port as in /proc/net/tcp. */
  function listening(filter: Binary, table: 'tcp' | 'tcp6'): string[] {
    const own = new Set(filter.descriptors());
    const lines = readFileSync(`/proc/${filter.pid}/net/${table}`, 'latin1').split('\n').slice(1);
    return lines.flatMap(line => {
      const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
      return state === '0A' && own.has(`socket:[${inode}]`) ? [local] : [];
    });
  }
  const inHex = (port: number) => port.toString(16).toUpperCase().padStart(4, '0');

  test('one listener, on filtermail_host only', async () => {
    const filter = await Binary.serve(site);
    assert.deepEqual(listening(filter, 'tcp'), [`0100007F:${inHex(site.port)}`]);
    assert.deepEqual(listening(filter, 'tcp6'), []);
    await assert.rejects(Client.connect(site.port, '127.0.0.2'), /ECONNREFUSED/);
    await filter.stop();
  });

  test('the kernel calls it filtermail, and its arguments stay', async () => {
    const filter = await Binary.serve(site);
    assert.equal(readFileSync(`/proc/${filter.pid}/comm`, 'latin1'), 'filtermail\n');
    const words = readFileSync(`/proc/${filter.pid}/cmdline`, 'latin1').split('\0');
    assert.deepEqual(words.slice(-3), [site.config, 'outgoing', '']);
    await filter.stop();
  });

  test("SIGUSR1 does not open Node's debugger", async () => {
    const filter = await Binary.serve(site);
    const logged = filter.log.all.length;
    filter.signal('SIGUSR1');
    assert.match(await sendOne(site.port, encrypted()), /^250 /);
    assert.deepEqual(listening(filter, 'tcp'), [`0100007F:${inHex(site.port)}`]);
    hop.take();
    await filter.stop();
    assert.deepEqual(filter.log.since(logged), ['INFO Outgoing: Filtering encrypted mail.']);
  });

  test('another filtermail_host, and our name to Postfix after it', async () => {
    const second = await Site.make(hop.port, { filtermail_host: '127.0.0.2' });
    const filter = await Binary.serve(second);
    const client = await Client.hello(second.port, '127.0.0.2');
    const mark = hop.heard.length;
    assert.match(await client.send(encrypted()), /^250 /);
    assert.ok(hop.heard.slice(mark).includes('EHLO [127.0.0.2]'));
    await client.quit();
    hop.take();
    await assert.rejects(Client.connect(second.port, '127.0.0.1'), /ECONNREFUSED/);
    await filter.stop();
  });

  test('an IPv6 address, and our name to Postfix after it', async t => {
    const six = await Site.make(hop.port, { filtermail_host: '::1' });
    const filter = await Binary.serve(six).catch((error: Error) => {
      if (!/EADDRNOTAVAIL|EAFNOSUPPORT/.test(error.message)) throw error;
      return null;
    });
    if (filter === null) return t.skip('this system has no ::1');
    assert.deepEqual(listening(filter, 'tcp6'), [`${'0'.repeat(24)}01000000:${inHex(six.port)}`]);
    const client = await Client.hello(six.port, '::1');
    const mark = hop.heard.length;
    assert.match(await client.send(encrypted()), /^250 /);
    assert.ok(hop.heard.slice(mark).includes('EHLO [IPv6:::1]'));
    await client.quit();
    hop.take();
    await filter.stop();
  });

  test('nothing is listened to while something is wrong', async () => {
    const clash = await Site.make(hop.port, {
      filtermail_http_port_incoming: site.port,
      filtermail_smtp_port_incoming: site.port,
    });
    const [status] = await failing([clash.config, 'outgoing']);
    assert.equal(status, 78);
  });
});
