// Policies from a real HTTPS server at port 443, the only one there is for them: so this file runs once more, in a network of its own.

import assert from 'node:assert/strict';
import { type ExecFileException, execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Policy } from '../../src/deliver/mta-sts.ts';
import { trustAuthorities } from '../../src/system/authorities.ts';
import { eventually } from '../loopback/eventually.ts';
import { badCertificates, makeCertificates, type Respond, World } from './mta-sts-world.ts';

const minute = 60_000;
const inside = process.argv[2] === 'inside';
const folder = inside ? (process.argv[3] ?? '') : mkdtempSync(join(tmpdir(), 'mta-sts-'));
const inFolder = (name: string) => join(folder, name);

const policy = 'version: STSv1\r\nmode: enforce\r\nmx: mx1.test\r\nmx: *.mx.test\r\nmax_age: 604800\r\n';

function text(content: string, status = 200, type = 'text/plain; charset=utf-8'): Respond {
  return (_, response) => {
    response.writeHead(status, { 'content-type': type });
    response.end(content);
  };
}

const many = (count: number) => `${policy}${Array.from({ length: count }, (_, n) => `mx: ${n}.test\r\n`).join('')}`;

/** Never ends. */
const flood: Respond = (_, response) => {
  response.writeHead(404, { 'content-type': 'text/plain' });
  const octets = Buffer.alloc(65_536, 'mx: a\n');
  const more = () => {
    while (!response.destroyed && response.write(octets));
  };
  response.on('drain', more);
  more();
};

const redirect: Respond = (_, response) => {
  response.writeHead(301, { location: 'https://mta-sts.enforce.test/.well-known/mta-sts.txt' });
  response.end(policy);
};

const cut: Respond = (_, response) => {
  response.writeHead(200, { 'content-type': 'text/plain', 'content-length': 1000 });
  response.write(policy, () => response.destroy());
};

/** By the label of the domain: what its policy host answers, what that means for `hosts`. */
const usable: [label: string, respond: Respond, mode: Policy['mode'], listed: string[]][] = [
  ['enforce', text(policy), 'enforce', ['mx1.test', 'a.mx.test']],
  ['testing', text(policy.replace('enforce', 'testing')), 'testing', ['mx1.test', 'a.mx.test']],
  ['none', text(policy.replace('enforce', 'none')), 'none', []],
  ['line-feeds', text(policy.replaceAll('\r', '')), 'enforce', ['mx1.test', 'a.mx.test']],
  ['long', text(many(400)), 'enforce', ['mx1.test', 'a.mx.test', '399.test']],
];
const hosts = ['mx1.test', 'a.mx.test', 'a.b.mx.test', '399.test', 'mx2.test'];

/** The same for what is no policy: why. */
const useless: [label: string, respond: Respond, trouble: RegExp][] = [
  ['not-found', text(policy, 404), /Invalid response code 404/],
  ['not-ok', text(policy, 206), /Invalid response code 206/],
  ['broken', text(policy, 500), /Invalid response code 500/],
  ['redirect', redirect, /Invalid response code 301/],
  ['flood', flood, /Invalid response code 404/],
  ['page', text(policy, 200, 'text/html'), /Invalid Content-Type/],
  ['too-long', text(many(1000)), /larger than 8192 bytes/],
  ['blanks', text(`${policy}mx: a${' '.repeat(65_000)}b\n`), /larger than 8192 bytes/],
  ['too-old', text(policy.replace('604800', '31557601')), /Invalid max_age/],
  ['no-mx', text(policy.replaceAll('mx', 'xm')), /Missing mx/],
  ['odd-mx', text(policy.replace('*.mx', 'm*.mx')), /Invalid mx/],
  ['empty', text(''), /Invalid version/],
  ['cut', cut, /aborted|Incomplete response/],
  ['no-http', ({ socket }) => void socket.end('\0\xff garbage\r\n\r\n'), /Parse Error/],
  ['headers', (_, { socket }) => void socket?.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(1e6)}`), /Header overflow/],
  ['gone', ({ socket }) => void socket.destroy(), /socket hang up/],
  ['wrong-name', text(policy), /altnames/],
  ['common-name', text(policy), /altnames|a DNS-ID subjectAltName must match/],
  ['self-signed', text(policy), /self-signed certificate/],
];

/** Domains of tests of their own. */
const others = ['first', 'moved', 'slow', 'late', 'v6', 'addresses'];
/** Milliseconds, of a delivery that waits for nothing. */
const atOnce = 1000;

function testFetch(): void {
  let world: World;
  before(async () => {
    trustAuthorities();
    world = await World.start(folder);
    for (const [label, respond] of [...usable, ...useless]) world.serve(label, respond);
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
  });

  describe('a policy', () => {
    for (const [label, , mode, listed] of usable) {
      test(label, async () => {
        const found = await world.source.fetch(`${label}.test`);
        assert.ok('mode' in found, JSON.stringify(found));
        assert.deepEqual([found.mode, found.maxAge], [mode, 604_800]);
        if (mode !== 'none') assert.deepEqual(hosts.filter(found.lists), listed);
      });
    }
  });

  describe('no policy', () => {
    for (const [label, , why] of useless) {
      test(label, async () => {
        const found = await world.source.fetch(`${label}.test`);
        assert.ok('trouble' in found);
        assert.match(found.trouble, why);
      });
    }

    test('no address', async () => {
      const trouble = '"no address of mta-sts.nowhere.test"';
      assert.deepEqual(await world.source.fetch('nowhere.test'), { trouble });
    });

    test('nobody at the address', async () => {
      world.dns.a('mta-sts.nobody.test', ['127.0.0.2']);
      const trouble = '"mta-sts.nobody.test[127.0.0.2]: connection refused (ECONNREFUSED)"';
      assert.deepEqual(await world.source.fetch('nobody.test'), { trouble });
    });

    test('all connections are closed', async () => {
      await eventually(() => assert.equal(world.sockets.size, 0));
    });
  });

  test('any address that can be reached is good, of either family', async () => {
    world.publish('addresses', '1', text(policy));
    world.dns.a('mta-sts.addresses.test', ['127.0.0.2', '127.0.0.3', '127.0.0.1']);
    world.publish('v6', '1', text(policy));
    world.dns.a('mta-sts.v6.test', ['127.0.0.2']);
    world.dns.aaaa('mta-sts.v6.test', ['::1']);
    for (const domain of ['addresses.test', 'v6.test']) assert.ok('mode' in (await world.source.fetch(domain)));
  });

  test('the first delivery goes on at once, later ones by the policy', async () => {
    world.publish('first', '1', text(policy));
    const { left, took } = await world.left('first', 'mx1.test', 'mx2.test');
    assert.deepEqual(left, ['mx1.test', 'mx2.test']);
    assert.ok(took < atOnce, `${took} ms`);
    await world.dns.asked('A mta-sts.first.test');
    while ((await world.left('first', 'mx2.test')).left.length > 0) await turn(5);
    assert.deepEqual((await world.left('first', 'mx1.test', 'mx2.test')).left, ['mx1.test']);
  });

  test('before mail is refused, a new policy is waited for', async () => {
    world.publish('moved', '1', text(policy));
    while ((await world.left('moved', 'mx2.test')).left.length > 0) await turn(5);
    world.now += minute;
    world.publish('moved', '2', (request, response) => {
      setTimeout(() => text(policy.replace('mx1', 'mx2'))(request, response), 300);
    });
    const { left, took } = await world.left('moved', 'mx2.test');
    assert.deepEqual(left, ['mx2.test']);
    assert.ok(took >= 299, `${took} ms`);
  });

  test('a server that never answers, and one that drips: no delivery is late', async () => {
    world.publish('slow', '1', () => null);
    world.publish('late', '1', (_, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' });
      const dripping = setInterval(() => response.write('#'), 10);
      response.on('close', () => clearInterval(dripping));
    });
    for (let n = 0; n < 50; n++) {
      for (const label of ['slow', 'late']) {
        const { left, took } = await world.left(label, 'mx1.test', 'mx2.test');
        assert.deepEqual(left, ['mx1.test', 'mx2.test']);
        assert.ok(took < atOnce, `${took} ms`);
      }
      await turn(10);
    }
    const asked = world.dns.questions.filter(question => /^TXT _mta-sts\.(slow|late)\.test$/.test(question));
    assert.equal(asked.length, 2);
    await eventually(() => assert.equal(world.sockets.size, 2));
  });
}

/** A network with a loopback interface only; for others than root where the system lets them. */
const unshare = [
  'unshare',
  process.getuid?.() === 0 ? '-n' : '-rn',
  'sh',
  '-c',
  'ip link set lo up && exec "$@"',
  'sh',
];

function run(command: readonly string[]): Promise<{ error: ExecFileException | null; output: string }> {
  const [program = '', ...rest] = command;
  const env = {
    ...process.env,
    // With it the tests inside would speak to the runner instead of to us.
    NODE_TEST_CONTEXT: undefined,
    SSL_CERT_FILE: inFolder('ca.pem'),
    SSL_CERT_DIR: inFolder('empty'),
  };
  return new Promise(resolve => {
    execFile(program, rest, { env, timeout: 30_000, encoding: 'utf8' }, (error, stdout, stderr) =>
      resolve({ error, output: `${stdout}${stderr}` }),
    );
  });
}

function testInside(): void {
  after(() => rmSync(folder, { recursive: true }));

  test('policies from an HTTPS server at port 443', async t => {
    const { error, output } = await run([...unshare, 'openssl', 'version']);
    if (error !== null) {
      const why = `needs a network namespace (Debian: iproute2, util-linux) and openssl: ${error.message}${output}`;
      assert.ok(process.env.CI !== 'true' || process.getuid?.() !== 0, why);
      return t.skip(why);
    }
    const labels = [...usable, ...useless].map(([label]) => label).filter(label => !badCertificates.includes(label));
    makeCertificates(folder, [...labels, ...others]);
    const node = [process.execPath, '--test-reporter=spec', fileURLToPath(import.meta.url), 'inside', folder];
    const result = await run([...unshare, ...node]);
    assert.equal(result.error, null, result.output);
    assert.match(result.output, /\bpass [1-9]\d\b/);
  });
}

if (inside) testFetch();
else testInside();
