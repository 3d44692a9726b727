// A next hop that is down, hangs, refuses, dawdles or lies: the client hears the truth, nobody gets half a delivery, and mail flows again.

import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { afterEach, before, describe, test } from 'node:test';
import { freePort } from '../peers/ports.ts';
import { Client, sendOne } from './client.ts';
import { alice, bob, encrypted } from './mail.ts';
import { NextHop, offered, type Said } from './next-hop.ts';
import { Victim } from './victim.ts';

const unavailable = '451 4.3.2 Temporary failure, try again later';

let victim: Victim;

before(async () => {
  victim = await Victim.start();
});
afterEach(() => {
  const { hop } = victim;
  hop.answer = () => undefined;
  hop.extensions = offered;
  hop.take();
});

/** Answers one kind of command with that text, and everything else as usual. */
const on =
  (verb: Said['verb'], text: string | null) =>
  (said: Said): string | null | undefined =>
    said.verb === verb ? text : undefined;

/** The same, and the connection is over with that: what was pipelined behind gets no answer. */
function goesAt(verb: Said['verb'], text: string | null, go: (socket: Socket) => void) {
  const gone = new Set<Socket>();
  return (said: Said): string | null | undefined => {
    const { socket } = said;
    if (gone.has(socket)) return null;
    if (said.verb !== verb) return undefined;
    gone.add(socket);
    setImmediate(() => go(socket));
    return text;
  };
}
const hangUp = (socket: Socket): void => void socket.end();
const reset = (socket: Socket): void => void socket.resetAndDestroy();

/** A fresh connection to the next hop gets this; then mail flows again. */
async function gets(expected: RegExp | string, mail = encrypted()): Promise<void> {
  const { hop, site } = victim;
  // Not on a connection that is kept from before: a failure there is tried again on a new one.
  for (const socket of hop.sockets) socket.destroy();
  const reply = await sendOne(site.port, mail);
  if (typeof expected === 'string') assert.equal(reply, expected);
  else assert.match(reply, expected);
  assert.deepEqual(hop.take(), [], 'nothing was delivered');
  hop.answer = () => undefined;
  hop.extensions = offered;
  await victim.passes();
}

for (const pipelining of [true, false]) {
  describe(pipelining ? 'with PIPELINING' : 'without PIPELINING', () => {
    const extensions = pipelining ? offered : offered.filter(word => word !== 'PIPELINING');

    for (const verb of ['MAIL', 'RCPT', 'DATA', 'message'] as const) {
      test(`a refusal of ${verb} is the answer`, async () => {
        victim.hop.extensions = extensions;
        victim.hop.answer = on(verb, '550-5.7.1 Not this\r\n550 5.7.1 way');
        await gets('550-5.7.1 Not this\r\n550 5.7.1 way');
      });

      test(`a temporary one of ${verb} too`, async () => {
        victim.hop.extensions = extensions;
        victim.hop.answer = on(verb, '450 4.2.0 Greylisted');
        await gets('450 4.2.0 Greylisted');
      });

      test(`421 to ${verb} is passed on as 451`, async () => {
        victim.hop.extensions = extensions;
        victim.hop.answer = on(verb, '421 4.7.0 Too busy');
        await gets('451 4.7.0 Too busy');
      });

      test(`421 to ${verb}, and it hangs up, as Postfix does`, async () => {
        victim.hop.extensions = extensions;
        victim.hop.answer = goesAt(verb, '421 4.7.0 Too busy', hangUp);
        await gets('451 4.7.0 Too busy');
      });

      test(`hangs up at ${verb}`, async () => {
        victim.hop.extensions = extensions;
        victim.hop.answer = goesAt(verb, null, hangUp);
        await gets(unavailable);
      });

      test(`resets at ${verb}`, async () => {
        victim.hop.extensions = extensions;
        victim.hop.answer = goesAt(verb, null, reset);
        await gets(unavailable);
      });

      test(`nonsense at ${verb}`, async () => {
        victim.hop.extensions = extensions;
        victim.hop.answer = on(verb, 'Hello, I am no SMTP server');
        await gets(unavailable);
      });
    }

    test('354 to RCPT is no recipient taken', async () => {
      victim.hop.extensions = extensions;
      victim.hop.answer = on('RCPT', '354 go on');
      await gets(/^451 /);
    });

    test('250 to DATA is no invitation', async () => {
      victim.hop.extensions = extensions;
      victim.hop.answer = on('DATA', '250 2.0.0 Ok');
      await gets(/^451 /);
    });

    test('the last of three recipients refused: nobody gets it, and no dot is sent', async () => {
      const { hop } = victim;
      hop.extensions = extensions;
      hop.answer = ({ verb, line }) => (verb === 'RCPT' && line.includes('third') ? '550 5.1.1 Unknown' : undefined);
      const mark = hop.heard.length;
      await gets('550 5.1.1 Unknown', { ...encrypted(), to: [bob, 'second@two.test', 'third@two.test'] });
      const heard = hop.heard.slice(mark);
      assert.ok(heard.indexOf('(message)') > heard.indexOf('(closed)'), heard.join(' | '));
    });
  });
}

describe('at the beginning', () => {
  for (const [name, answer] of [
    ['hangs up instead of a greeting', goesAt('connect', null, hangUp)],
    ['resets instead of a greeting', goesAt('connect', null, reset)],
    ['hangs up at EHLO', goesAt('EHLO', null, hangUp)],
    ['speaks HTTP', on('connect', 'HTTP/1.1 400 Bad Request')],
    ['floods', on('connect', `220-${'x'.repeat(200_000)}`)],
    ['has an endless greeting', on('connect', '220-more\r\n'.repeat(5000))],
  ] as const) {
    test(name, async () => {
      victim.hop.answer = answer;
      await gets(unavailable);
    });
  }

  test('down: answered at once; up again: mail flows', async () => {
    const port = await freePort();
    const late = await Victim.start({ postfix_reinject_port: port });
    const began = performance.now();
    assert.equal(await sendOne(late.site.port, encrypted()), unavailable);
    assert.ok(performance.now() - began < 2000);
    const hop = await NextHop.start(port);
    assert.match(await sendOne(late.site.port, encrypted()), /^250 /);
    await hop.stop();
    assert.equal(await sendOne(late.site.port, encrypted()), unavailable);
    await late.filter.stop();
  });
});

describe('while the message goes out', () => {
  const large = encrypted({ size: 20_000_000 });

  test('it refuses early and hangs up: the refusal is the answer', async () => {
    victim.hop.answer = ({ verb, socket }) => {
      if (verb !== 'DATA') return undefined;
      setTimeout(() => socket.end('552 5.2.2 Full\r\n'), 20);
      return '354 go on';
    };
    await gets(/^(?:552 5\.2\.2 Full|451 4\.3\.2 .*)$/, large);
  });

  test('it refuses early and reads no more: the refusal is the answer, at once', async () => {
    victim.hop.answer = ({ verb, socket }) => {
      if (verb !== 'DATA') return undefined;
      socket.pause();
      setImmediate(() => socket.write('552 5.2.2 Full\r\n'));
      return '354 go on';
    };
    await gets('552 5.2.2 Full', large);
  });

  test('it says 250 before the end: that is no delivery', async () => {
    victim.hop.answer = on('DATA', '354 go on\r\n250 2.0.0 Ok');
    await gets(/^451 /, large);
  });

  test('it reads slowly: memory stays flat, and the client gets its answer', async () => {
    const { hop, filter } = victim;
    const start = filter.memory('VmRSS');
    let most = start;
    hop.answer = ({ verb, socket }) => {
      if (verb !== 'DATA') return undefined;
      const sip = () => {
        most = Math.max(most, filter.memory('VmRSS'));
        socket.pause();
        setTimeout(() => socket.resume(), 5);
      };
      socket.on('data', sip);
      hop.answer = said => {
        if (said.verb === 'message') socket.off('data', sip);
        return undefined;
      };
      return '354 go on';
    };
    const mail = encrypted({ size: 15_000_000 });
    assert.match(await sendOne(victim.site.port, mail), /^250 /);
    assert.deepEqual(
      hop.take().map(({ length }) => length),
      [mail.wire.length - 3],
    );
    assert.ok(most - start < 80, `${Math.round(most - start)} MiB`);
  });

  test('it goes after the dot: temporary, and not tried a second time', async () => {
    const { hop } = victim;
    hop.answer = goesAt('message', null, reset);
    const mark = hop.heard.length;
    assert.equal(await sendOne(victim.site.port, encrypted()), unavailable);
    assert.equal(hop.heard.slice(mark).filter(line => line === '(message)').length, 1);
    await victim.filter.log.find(/after the final dot/);
  });
});

test('parameters and XFORWARD go on when they are offered, and only then', async () => {
  const { hop, site } = victim;
  for (const extensions of [offered, ['SIZE', 'XFORWARD NAME ADDR']]) {
    for (const socket of hop.sockets) socket.destroy();
    hop.extensions = extensions;
    const mark = hop.heard.length;
    const client = await Client.hello(site.port);
    await client.ask('XFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.9 PORT=1234 HELO=a+20b');
    await client.ask(`MAIL FROM:<${alice}> SIZE=2000 RET=HDRS ENVID=QQ+2B BODY=8BITMIME`);
    await client.ask(`RCPT TO:<${bob}> NOTIFY=NEVER ORCPT=rfc822;b+2Bx@two.test`);
    await client.ask('DATA');
    void client.write(encrypted().wire);
    assert.match(await client.reply(), /^250 /);
    await client.quit();
    const heard = hop.heard.slice(mark).filter(line => /^(?:XFORWARD|MAIL|RCPT)/.test(line));
    assert.deepEqual(
      heard,
      extensions === offered
        ? [
            'XFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.9 PORT=1234 HELO=a+20b',
            `MAIL FROM:<${alice}> SIZE=2000 RET=HDRS ENVID=QQ+2B BODY=8BITMIME`,
            `RCPT TO:<${bob}> NOTIFY=NEVER ORCPT=rfc822;b+2Bx@two.test`,
          ]
        : ['XFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.9', `MAIL FROM:<${alice}> SIZE=2000`, `RCPT TO:<${bob}>`],
    );
  }
});

test('after all of it, the process is as good as new', () => victim.unharmed(250));
