// What people send over two relays, and what arrives: the tests for a filter that is started one way or another.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { assertLog } from '../../loopback/binary.ts';
import { readable, sealed } from '../mail.ts';
import { openMailbox } from './burst.ts';
import { type ChatmailRelay, modes } from './chatmail-relay.ts';
import { type Account, type Core, cores } from './delta-chat.ts';
import { checkoutInHost, inHost } from './host.ts';
import { describeRelays } from './requirements.ts';
import type { Sending } from './send.ts';
import { TwoRelays } from './two-relays.ts';

/** Nobody here is to wait for the rate of one sender. */
const settings = { max_user_send_per_minute: 600, max_user_send_burst_size: 100 };

/** `program` makes the filter, where it is not that of this checkout. */
export function people(name: string, program?: () => Promise<string>): void {
  describeRelays(name, () => {
    let world: TwoRelays;
    let newest: Core;
    let first: Core;
    let alice: Account; // of the first relay
    let bob: Account; // of the second
    let olga: Account; // of the second, with a core of the first series

    before(async () => {
      world = await TwoRelays.start({ settings, program: await program?.() });
      [newest, first] = await Promise.all([world.core(), world.core(cores(checkoutInHost)[1])]);
      [alice, bob, olga] = await Promise.all([
        world.signUp(newest, world.one, 'alice'),
        world.signUp(newest, world.two, 'bob', { submission: 'starttls' }),
        world.signUp(first, world.two, 'olga'),
      ]);
    });
    after(async () => {
      await world?.[Symbol.asyncDispose]();
    });

    /** What transport logs of what is sent from now on. */
    const carrying = (relay: ChatmailRelay) => {
      const mark = relay.log.transport.mark;
      return (pattern: RegExp) => relay.log.transport.find(pattern, mark);
    };

    /** A text goes from one to the other. */
    const text = async (from: Account, to: Account, words: string = randomBytes(8).toString('hex')) => {
      const id = await from.send(await from.chatWith(to), { text: words });
      await from.delivered(id);
      return { id, message: await to.received(words) };
    };

    test('securejoin: whoever scans, in either series', async () => {
      const carried = [carrying(world.one), carrying(world.two)];
      await Promise.all([bob.join(alice), alice.join(olga)]);
      for (const [index, found] of carried.entries()) {
        await found(new RegExp(`INFO Transport: sent by HTTPS to ${index ? 'one' : 'two'}\\.test\\[`));
      }
    });

    test('a text, a reaction and a read receipt, to and fro', async () => {
      for (const [one, other] of [
        [alice, bob],
        [bob, alice],
        [alice, olga],
        [olga, alice],
      ] as const) {
        const { id, message } = await text(one, other);
        await other.markSeen(message);
        await one.read(id);
        await other.react(message, '\u{1f44d}');
        await one.reacted(id, '\u{1f44d}');
      }
    });

    test('a timer is set, and messages go when it is up', async () => {
      const chat = await alice.chatWith(bob);
      await alice.setTimer(chat, 2);
      await bob.timerSet(await bob.chatWith(alice), 2);
      const { message } = await text(bob, alice);
      await alice.markSeen(message);
      await alice.gone(message);
      await alice.setTimer(chat, 0);
      await bob.timerSet(await bob.chatWith(alice), 0);
    });

    test('deleted for all', async () => {
      const { id, message } = await text(alice, bob);
      await alice.deleteForAll([id]);
      await bob.gone(message);
    });

    test('a file of 20 MB goes by SMTP, texts before and after it by HTTPS', async () => {
      const path = '/tmp/large.bin';
      const content = randomBytes(20_000_000);
      writeFileSync(world.clients.path(path), content);
      const before = carrying(world.one);
      await text(alice, bob, 'before it');
      await before(/sent by HTTPS to two\.test\[/);
      const carried = carrying(world.one);
      const chat = await alice.chatWith(bob);
      const id = await alice.send(chat, { text: 'the file', file: path, filename: 'large.bin' });
      await alice.delivered(id, 90);
      const { file } = await bob.received('the file', 90);
      assert.ok(file, 'a file came');
      assert.ok(readFileSync(world.clients.path(file)).equals(content), 'every octet of it');
      await carried(/sent by SMTP to two\.test\[.*, 2\d{7} octets/);
      const then = carrying(world.one);
      await text(alice, bob, 'after it');
      await then(/sent by HTTPS to two\.test\[/);
    });

    test('a group of ten over both relays', async () => {
      const members = await Promise.all(
        Array.from({ length: 9 }, (_, n) => world.signUp(newest, n % 2 ? world.one : world.two, `member${n}`)),
      );
      const group = await alice.createGroup('ten', []);
      await Promise.all(members.map(member => member.join(alice, group)));
      const carried = carrying(world.one);
      const id = await alice.send(group, { text: 'hello ten' });
      await alice.delivered(id);
      const heard = await Promise.all(members.map(member => member.received('hello ten')));
      await carried(/sent by HTTPS to two\.test\[.* \(5 to two\.test/);
      // And an answer to all.
      const [member, message] = [members[0], heard[0]];
      assert.ok(member && message);
      await member.delivered(await member.send(message.chatId, { text: 'hello from me' }));
      await Promise.all([alice, ...members.slice(1)].map(other => other.received('hello from me')));
    });

    test('a disabled account neither gets nor sends', async () => {
      const carol = await world.signUp(newest, world.two, 'carol');
      await carol.join(alice);
      await world.two.accounts.disable(carol.address, true);
      const logged = { incoming: world.two.log.incoming.mark, outgoing: world.two.log.outgoing.mark };
      const chats = [await alice.chatWith(carol), await carol.chatWith(alice)] as const;
      await alice.delivered(await alice.send(chats[0], { text: 'to nobody' }));
      await world.two.log.incoming.find(/^WARN .*DISABLED/, logged.incoming);
      await carol.delivered(await carol.send(chats[1], { text: 'from nobody' }));
      await world.two.log.outgoing.find(/^WARN .*DISABLED/, logged.outgoing);
      await world.two.accounts.disable(carol.address, false);
      // What is sent later comes; what was sent then has not.
      await text(alice, carol, 'to somebody');
      await text(carol, alice, 'from somebody');
      assert.equal(await carol.has('to nobody'), false);
      assert.equal(await alice.has('from nobody'), false);
    });

    describe('where nobody is: the client shows the bounce', () => {
      // The newest core has to be told that it shall look at readable mail, bounces too; the first series does.
      let sender: Account;
      before(async () => {
        sender = await world.signUp(newest, world.one, 'sally', { config: { force_encryption: '0' } });
        await sender.join(bob);
      });

      test('to accounts that do not exist any more', async () => {
        const ghosts = [
          await world.signUp(newest, world.two, 'ghost'),
          await world.signUp(newest, world.one, 'ghost'),
        ] as const;
        await Promise.all([ghosts[0].join(sender), ghosts[1].join(olga)]);
        world.two.accounts.remove(ghosts[0].address);
        world.one.accounts.remove(ghosts[1].address);
        for (const [who, ghost] of [
          [sender, ghosts[0]],
          [olga, ghosts[1]],
        ] as const) {
          const id = await who.send(await who.chatWith(ghost), { text: 'are you there?' });
          assert.match(await who.failed(id), /User doesn't exist/);
        }
      });

      test('to a domain that does not exist', async () => {
        // Keys of the newest core name the relays of their owner, who would be found there.
        const stranger = await world.signUp(first, world.two, 'stranger');
        for (const who of [sender, olga]) {
          const id = await who.send(await who.chatAtAddress(stranger, 'nobody@nowhere.test'), { text: 'anybody?' });
          assert.match(await who.failed(id), /550 5\.1\.2 no such\s+domain: nowhere\.test/);
        }
      });
    });

    test('what is not encrypted is refused, and what is not from where it says', async () => {
      const mailbox = await openMailbox(world.one);
      const send = async (sending: Omit<Sending, 'from' | 'to'>) => {
        const [from, to] = [mailbox.address, bob.address];
        const program = [inHost(process.execPath), inHost(`${import.meta.dirname}/send.ts`)];
        return (await world.clients.run(program, JSON.stringify({ ...sending, from, to }))).trim();
      };
      const [open, encrypted] = [readable({ from: mailbox.address }, 'Hello'), sealed({ from: mailbox.address })];
      const login = { user: mailbox.address, pass: mailbox.password };
      const atHome = { host: 'one.test', port: 465, login };
      const elsewhere = { host: 'two.test', port: 25 };
      assert.equal(await send({ ...atHome, raw: String(open) }), '523 Encryption Needed: Invalid Unencrypted Mail');
      assert.equal(await send({ ...elsewhere, raw: String(open) }), '523 Encryption Needed: Invalid Unencrypted Mail');
      assert.equal(await send({ ...elsewhere, raw: String(encrypted) }), '554 5.7.1 No DKIM signature found');
      assert.match(await send({ ...atHome, raw: String(encrypted) }), /^250 2\.0\.0 Ok: queued as /);
    });

    test('without nginx by SMTP; without IPv4 by IPv6, without IPv6 by IPv4', async () => {
      await world.two.service('nginx').stop();
      const bySmtp = carrying(world.one);
      await text(alice, bob);
      await bySmtp(/sent by SMTP to two\.test\[/);
      await world.two.service('nginx').start();
      for (const [cut, other] of [
        ['ipv4', /sent by HTTPS to two\.test\[fd55::3\]/],
        ['ipv6', /sent by HTTPS to two\.test\[192\.0\.2\.3\]/],
      ] as const) {
        world.cut(cut);
        // Kept connections would go on for a while.
        await world.one.service('transport').stop();
        await world.one.service('transport').start();
        const carried = carrying(world.one);
        await text(alice, bob);
        await carried(other);
        world.mend(cut);
      }
    });

    test('the logs are ones', () => {
      for (const relay of [world.one, world.two]) {
        for (const mode of modes) {
          const lines = relay.log[mode].all;
          assertLog(lines);
          assert.deepEqual(
            lines.filter(line => line.startsWith('ERROR ')),
            [],
          );
        }
      }
    });
  });
}
