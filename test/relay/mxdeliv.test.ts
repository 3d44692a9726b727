// A real nginx before the filter, as on chatmail relays and as other admins would have it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { request as overTls } from 'node:https';
import { afterEach, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Binary } from '../loopback/binary.ts';
import { eventually } from '../loopback/eventually.ts';
import {
  author,
  chunk,
  chunked,
  chunkedHead,
  counted,
  countedHead,
  type Head,
  HttpClient,
  short,
  vic,
} from '../loopback/http-client.ts';
import { HttpVictim, taken } from '../loopback/http-victim.ts';
import { sealed } from './mail.ts';
import { describeNginx, Nginx, type Variant } from './nginx.ts';

const variants: Readonly<Record<string, Variant>> = {
  "chatmail's": {},
  unbuffered: { buffers: false },
  'keeping connections': { keepsConnections: true },
  'keeping connections, unbuffered': { keepsConnections: true, buffers: false },
  'HTTP/1.0': { version: '1.0' },
  'large bodies': { limit: '40m' },
  'large bodies, unbuffered': { limit: '40m', buffers: false },
  'large bodies, keeping connections': { limit: '40m', keepsConnections: true },
  'large bodies, keeping connections, unbuffered': { limit: '40m', keepsConnections: true, buffers: false },
  'large bodies, HTTP/1.0': { limit: '40m', version: '1.0' },
  'large bodies, HTTP/1.0, unbuffered': { limit: '40m', version: '1.0', buffers: false },
};
const names = Object.keys(variants);
const large = names.filter(name => variants[name]?.limit !== undefined);
const small = names.filter(name => !large.includes(name));

let victim: HttpVictim;

type Outcome = readonly [status: number, body: string];
type Client = (variant: string, body: Buffer, to?: readonly string[]) => Promise<Outcome | null>;

describeNginx(
  'nginx before the filter',
  async () => {
    victim = await HttpVictim.start();
    return await Nginx.start(victim.site.httpPort, variants);
  },
  nginx => {
    afterEach(() => victim.arrived());

    const ask = async (variant: string, request: Buffer): Promise<Outcome | null> => {
      const client = await HttpClient.connect(nginx().port(variant));
      const outcome = await client.ask(request);
      client.reset();
      await client.closed;
      return outcome;
    };

    const clients: Record<string, Client> = {
      'HTTP/1.1, counted': (variant, body, to = [vic]) => ask(variant, counted(body, { to })),
      'HTTP/1.1, chunked': (variant, body, to = [vic]) => ask(variant, chunked([body], { to })),
      'HTTP/1.0': (variant, body, to = [vic]) => ask(variant, counted(body, { to, version: '1.0' })),
      'HTTP/1.1 over TLS': async (variant, body, to = [vic]) => {
        const headers = ['Host', 'one.test', 'X-MAIL-FROM', author, ...to.flatMap(address => ['X-MAIL-TO', address])];
        const request = overTls({
          ...{ host: '127.0.0.1', port: nginx().tlsPort(variant), servername: 'one.test', ca: nginx().certificate },
          ...{ method: 'POST', path: '/mxdeliv', headers: [...headers, 'Content-Length', `${body.length}`] },
        });
        request.end(body);
        const [response] = await once(request, 'response');
        const parts: Buffer[] = await response.toArray();
        return [response.statusCode, Buffer.concat(parts).toString('latin1')];
      },
      'HTTP/2': async (variant, body, to = [vic]) => {
        const session = connect(`https://127.0.0.1:${nginx().tlsPort(variant)}`, {
          ca: nginx().certificate,
          servername: 'one.test',
        });
        const headers = { 'x-mail-from': author, 'x-mail-to': [...to] };
        const stream = session.request({ ':method': 'POST', ':path': '/mxdeliv', ...headers });
        stream.end(body);
        const [{ ':status': status = 0 }] = await once(stream, 'response');
        const parts: Buffer[] = await stream.toArray();
        session.close();
        return [status, Buffer.concat(parts).toString('latin1')];
      },
    };

    const few = Object.fromEntries(Object.entries(clients).filter(([name]) => /counted|chunked|2/.test(name)));

    const recipients = () => {
      const [delivery, ...more] = victim.hop.take();
      assert.deepEqual(more, []);
      return delivery?.commands.flatMap(line => /^RCPT TO:<(.*)>$/.exec(line)?.[1] ?? []);
    };

    for (const variant of small) {
      describe(variant, () => {
        for (const [name, send] of Object.entries(clients)) {
          test(`${name}: taken, octet for octet`, async () => {
            for (const body of [short(), short('..\r\n..x\r\n\xff\x80'), short('y'.repeat(900_000))]) {
              assert.deepEqual(await send(variant, body), taken);
              victim.arrived(body);
            }
          });

          test(`${name}: every recipient`, async () => {
            const to = Array.from({ length: 400 }, (_, n) => `r${n}@one.test`);
            assert.deepEqual(await send(variant, short(), to), taken);
            assert.deepEqual(recipients(), to);
            const odd = ['a@one.test, b@one.test', 'c@one.test,d@one.test'];
            assert.deepEqual(await send(variant, short(), odd), taken);
            assert.deepEqual(
              recipients(),
              ['a', 'b', 'c', 'd'].map(name => `${name}@one.test`),
            );
          });

          test(`${name}: refusals come through`, async () => {
            assert.deepEqual(await send(variant, short(), ['<a@b>']), [
              400,
              '501 5.1.3 Bad address syntax in X-MAIL-TO',
            ]);
            assert.deepEqual(await send(variant, Buffer.from('a\nb\r\n')), [
              400,
              '550 5.6.0 Bare CR, bare LF or NUL in the message',
            ]);
            assert.deepEqual(await send(variant, Buffer.alloc(0)), [400, '500 5.6.0 Invalid FROM header']);
          });
        }

        test('Expect: 100-continue', async () => {
          const client = await HttpClient.connect(nginx().port(variant));
          void client.write(countedHead(short().length, { lines: ['Expect: 100-continue'] }));
          assert.equal((await client.answer())?.status, 100);
          assert.deepEqual(await client.ask(short()), taken);
          victim.arrived(short());
          client.reset();
        });

        test('a slow client', async () => {
          const client = await HttpClient.connect(nginx().port(variant));
          for (const octet of Buffer.concat([countedHead(short().length), short()])) {
            await client.write(Buffer.from([octet]));
            await turn();
          }
          assert.deepEqual(await client.outcome(), taken);
          victim.arrived(short());
          client.reset();
        });

        test('a client that goes away with a part of its body', async () => {
          const body = short('z'.repeat(800_000));
          const mark = victim.hop.heard.length;
          for (const request of [counted(body), chunked([body])]) {
            const client = await HttpClient.connect(nginx().port(variant));
            await client.write(request.subarray(0, -9));
            client.reset();
            await client.closed;
          }
          assert.deepEqual(await ask(variant, counted(short())), taken);
          victim.arrived(short());
          assert.equal(victim.hop.heard.slice(mark).filter(line => line.startsWith('MAIL')).length, 1);
        });

        test('a client that goes away while its message is judged', async () => {
          victim.hop.answer = ({ verb }) => (verb === 'RCPT' ? null : undefined);
          const mark = victim.hop.heard.length;
          const client = await HttpClient.connect(nginx().port(variant));
          void client.write(counted(short()));
          await victim.hop.hears(/^RCPT/, mark);
          client.reset();
          await victim.hop.hears(/^\(closed\)/, mark);
          victim.hop.answer = () => undefined;
          assert.ok(!victim.hop.heard.slice(mark).includes('(message)'));
        });
      });
    }

    describe("a body above nginx's limit: its own 413, nothing arrives", () => {
      const body = short('z'.repeat(1_100_000));
      for (const variant of small) {
        for (const name of ['HTTP/1.1, counted', 'HTTP/1.1 over TLS', 'HTTP/2'] as const) {
          test(`${variant}, ${name}`, async () => {
            const [status, page] = (await clients[name]?.(variant, body)) ?? [];
            assert.equal(status, 413);
            assert.match(page ?? '', /nginx/);
          });
        }

        test(`${variant}, chunked: nothing arrives`, async () => {
          assert.equal((await ask(variant, chunked([body])))?.[0], 413);
        });
      }
    });

    describe('large bodies where nginx lets them through', () => {
      const body = sealed({ from: author, size: 22_000_000 });
      for (const variant of large) {
        for (const [name, send] of Object.entries(variants[variant]?.buffers === false ? clients : few)) {
          test(`${variant}, ${name}: 30 MB`, async () => {
            assert.ok(body.length > 29_000_000);
            assert.deepEqual(await send(variant, body), taken);
            victim.arrived(body);
          });
        }
      }
    });

    describe('above the limit of the filter: its 413 comes through', () => {
      const tooLarge = [413, '552 5.3.4 Message exceeds maximum size'] as const;
      const body = Buffer.alloc(35_000_000, 'zzzzzzzz\r\n');
      for (const variant of large) {
        for (const [name, send] of Object.entries(few)) {
          test(`${variant}, ${name}`, async () => assert.deepEqual(await send(variant, body), tooLarge));
        }
      }
    });

    test('kept connections are used again', async () => {
      for (let round = 0; round < 20; round++) {
        assert.deepEqual(await ask('keeping connections', counted(short())), taken);
      }
      victim.arrived(...Array<Buffer>(20).fill(short()));
      assert.ok(victim.filter.unread(victim.site.httpPort).length <= 4, 'one for each variant that keeps them');
    });

    test('more header than nginx takes: nothing is lost without a word', async () => {
      const to = Array.from({ length: 1000 }, (_, n) => `recipient-number-${n}@one.test`);
      const client = await HttpClient.connect(nginx().port("chatmail's"));
      void client.write(counted(short(), { to }));
      assert.equal((await client.answer())?.status, 400);
      client.reset();
    });

    const kinds: [string, Head][] = [
      ['', {}],
      [' of a client that closes', { lines: ['Connection: close'] }],
    ];
    for (const [kind, options] of kinds) {
      test(`a chunk at a time${kind}`, async () => {
        const client = await HttpClient.connect(nginx().port('unbuffered'));
        await client.write(chunkedHead(options));
        const body = short('y'.repeat(500));
        for (const octet of body) {
          await client.write(chunk(Buffer.from([octet])));
          await turn();
        }
        assert.deepEqual(await client.ask('0\r\n\r\n'), taken);
        victim.arrived(body);
        client.reset();
      });
    }

    test('the filter is told to stop: what is under way is answered, then 502, and it works again once it is back', async () => {
      for (const variant of small) {
        victim.hop.answer = ({ verb, socket }) => {
          if (verb !== 'message') return undefined;
          victim.filter.signal('SIGTERM');
          void victim.filter.log
            .until(() => true, '')
            .then(() => turn())
            .then(() => socket.write('250 2.0.0 Ok: queued as 42\r\n'));
          return null;
        };
        assert.deepEqual(await ask(variant, counted(short())), taken);
        victim.hop.take();
        victim.hop.answer = () => undefined;
        assert.equal(await victim.filter.ended(), 0);
        for (let round = 0; round < 3; round++) assert.equal((await ask(variant, counted(short())))?.[0], 502);
        victim = new HttpVictim(victim.hop, victim.site, await Binary.serve(victim.site, {}, 'incoming'));
        for (let round = 0; round < 3; round++) assert.deepEqual(await ask(variant, counted(short())), taken);
        victim.arrived(short(), short(), short());
      }
    });

    test('after all this it is as good as new', async () => {
      await eventually(() => assert.ok(victim.filter.unread(victim.site.httpPort).length <= 8));
      victim.hop.take();
      await victim.filter.stop();
      assert.deepEqual(
        victim.filter.log.all.filter(line => line.startsWith('ERROR ')),
        [],
      );
    });
  },
);
