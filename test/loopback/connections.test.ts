// Clients that go, at whatever moment.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Client } from './client.ts';
import { alice, bob, encrypted } from './mail.ts';
import { Victim } from './victim.ts';

let victim: Victim;

before(async () => {
  victim = await Victim.start();
});

describe('a client that goes, at every stage: nothing is delivered and nobody is told', () => {
  const { wire } = encrypted({ size: 300_000 });
  const message = wire.toString('latin1').slice(0, -3);
  const opening = ['EHLO client.test\r\n', `MAIL FROM:<${alice}>\r\n`, `RCPT TO:<${bob}>\r\n`, 'DATA\r\n'];
  const inData: [string, string][] = [
    ['in the header', message.slice(0, 100)],
    ['in the body', message.slice(0, 2000)],
    ['far in the body', message.slice(0, 350_000)],
    ['as Postfix does, with QUIT in the data', `${message.slice(0, 2000)}QUIT\r\n`],
    ['after the last line', message],
    ['after the dot', `${message}.`],
    ['after the dot and CR', `${message}.\r`],
  ];
  const stages: { name: string; commands: string[]; more: string }[] = [
    { name: 'after the greeting', commands: [], more: '' },
    { name: 'in a command', commands: [], more: 'EHL' },
    ...opening.map((command, at) => ({
      name: `after ${command.slice(0, 4)}`,
      commands: opening.slice(0, at + 1),
      more: '',
    })),
    { name: 'in DATA after a CR', commands: opening.slice(0, 3), more: 'DATA\r' },
    ...inData.map(([name, more]) => ({ name, commands: opening, more })),
  ];
  for (const { name, commands, more } of stages) {
    for (const way of ['end', 'reset'] as const) {
      test(`${name}: ${way}`, async () => {
        const mark = await victim.logged();
        const client = await Client.connect(victim.site.port);
        await client.reply();
        for (const command of commands) {
          await client.write(command);
          assert.match(await client.reply(), /^[23]/);
        }
        await client.write(Buffer.from(more, 'latin1'));
        client[way]();
        await client.closed;
        await victim.passes();
        await victim.filter.log.find(/Filtering encrypted/, mark);
        assert.equal(victim.filter.log.since(mark).length, 1, victim.filter.log.since(mark).join('\n'));
      });
    }
  }

  test('while its message waits for the next hop: it is given up', async () => {
    const { hop } = victim;
    for (const way of ['end', 'reset'] as const) {
      hop.answer = ({ verb }) => (verb === 'RCPT' ? null : undefined);
      const mark = hop.heard.length;
      const client = await victim.hello();
      void client
        .open({ from: alice, to: [bob] })
        .then(() => client.write(wire))
        .catch(() => undefined);
      await hop.hears(/^RCPT/, mark);
      client[way]();
      await hop.hears(/^\(closed\)$/, mark);
      await client.closed;
      hop.answer = () => undefined;
      await victim.passes();
    }
  });

  test('while a large message is on its way to a slow next hop: no dot follows', async () => {
    const { hop, filter, site } = victim;
    const large = encrypted({ size: 20_000_000 });
    for (const way of ['end', 'reset'] as const) {
      const mark = hop.heard.length;
      let resume = (): unknown => undefined;
      hop.answer = ({ verb, socket }) => {
        if (verb !== 'DATA') return undefined;
        socket.pause();
        resume = () => socket.resume();
        return '354 go on';
      };
      const client = await victim.hello();
      assert.match(await client.open(large), /^354 /);
      await client.write(large.wire);
      await hop.hears(/^DATA$/, mark);
      client[way]();
      await client.closed;
      resume();
      await hop.hears(/^\(closed\)$/, mark);
      assert.ok(!hop.heard.slice(mark).includes('(message)'));
      hop.answer = () => undefined;
      await victim.passes();
      assert.deepEqual(filter.spoolFiles(site), []);
    }
  });

  test('what it has pipelined behind that message is given up too', async () => {
    const { hop } = victim;
    hop.answer = ({ verb, line }) => (verb === 'MAIL' && line.includes('first@') ? null : undefined);
    const mark = hop.heard.length;
    const client = await victim.hello();
    const transaction = (from: string) =>
      `MAIL FROM:<${from}>\r\nRCPT TO:<${bob}>\r\nDATA\r\n${encrypted({ from }).wire.toString('latin1')}`;
    await client.write(transaction('first@one.test') + transaction('second@one.test'));
    await hop.hears(/^MAIL FROM:<first@/, mark);
    client.reset();
    await hop.hears(/^\(closed\)$/, mark);
    hop.answer = () => undefined;
    await victim.passes();
    assert.deepEqual(
      hop.heard.slice(mark).filter(line => line.includes('second@')),
      [],
    );
  });
});

test('after all of it, the process is as good as new', () => victim.unharmed());
