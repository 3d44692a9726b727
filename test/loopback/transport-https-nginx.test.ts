// End to end: our transport mode to our incoming mode behind a real nginx that ends TLS, as chatmail relays have it; too much for nginx goes
// by SMTP.

import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Authority } from '../peers/authority.ts';
import { TlsSmtpServer } from '../peers/tls-smtp-server.ts';
import { sealed } from '../relay/mail.ts';
import { describeNginx, Nginx } from '../relay/nginx.ts';
import type { Mail } from './client.ts';
import { author, vic } from './http-client.ts';
import { HttpVictim } from './http-victim.ts';
import { plain, wire } from './mail.ts';
import { sha256 } from './next-hop.ts';
import { TransportSite } from './transport-site.ts';

const byHttps = '250 2.0.0 OK (HTTPS)';
const bySmtp = '250 2.0.0 OK (SMTP)';

const variants = {
  "chatmail's": {},
  'keeping connections': { keepsConnections: true },
  unbuffered: { buffers: false },
};

let incoming: HttpVictim;

function mailTo(octets: number, to: readonly string[] = [vic]): Mail {
  return { from: author, to, wire: wire(sealed({ from: author, size: octets })) };
}

const content = ({ wire }: Mail) => wire.subarray(0, -3);

for (const [variant, choices] of Object.entries(variants)) {
  describeNginx(
    `transport to incoming behind nginx, ${variant}`,
    async () => {
      incoming = await HttpVictim.start();
      return await Nginx.start(incoming.site.httpPort, { [variant]: choices });
    },
    nginx => {
      let world: TransportSite;
      let smtp: TlsSmtpServer;

      before(async () => {
        const authority = new Authority();
        after(() => authority[Symbol.dispose]());
        appendFileSync(authority.path, nginx().certificate);
        const keys = { mail_domain: 'two.test' };
        world = await TransportSite.start({ authority, httpsPort: nginx().tlsPort(variant), keys });
        const address = '127.0.0.1';
        world.dns.mx('one.test', [{ preference: 10, exchange: 'one.test' }]);
        world.address('one.test', address);
        smtp = await TlsSmtpServer.at(address, world.smtpPort, {
          certificate: authority.issue(['one.test']),
          swallows: true,
        });
      });

      after(async () => {
        await world.filter.stop();
        await smtp.close();
        await incoming.filter.stop();
      });

      test('a message arrives octet for octet by HTTPS, with all its recipients', async () => {
        const mail = mailTo(9000, [vic, 'free@one.test', vic]);
        assert.deepEqual(await world.deliver(mail), [byHttps, byHttps, byHttps]);
        const [delivery, ...more] = incoming.hop.take();
        assert.ok(delivery && more.length === 0);
        assert.equal(delivery.sha256, sha256(content(mail)));
        assert.deepEqual(
          delivery.commands.filter(line => line.startsWith('RCPT')),
          [vic, 'free@one.test', vic].map(address => `RCPT TO:<${address}>`),
        );
        assert.equal(smtp.talks.length, 0);
      });

      test('many messages, one after the other', async () => {
        const mails = Array.from({ length: 30 }, () => mailTo(3000));
        for (const mail of mails) assert.deepEqual(await world.deliver(mail), [byHttps]);
        incoming.arrived(...mails.map(content));
        assert.equal(smtp.talks.length, 0);
      });

      test('eight at once', async () => {
        const mails = Array.from({ length: 8 }, () => mailTo(100_000));
        const replies = await Promise.all(mails.map(mail => world.deliver(mail)));
        for (const reply of replies) assert.deepEqual(reply, [byHttps]);
        incoming.arrived(...mails.map(content));
      });

      test('a refusal of the filter is tried again by SMTP, whose answer counts', async () => {
        incoming.site.enforceEncryption(vic);
        smtp.plan = stage => (stage === 'message' ? '523 5.7.10 Encryption Needed' : undefined);
        const [reply] = await world.deliver(plain('hello\r\n', author, [vic]));
        assert.equal(reply, '523 5.7.10 Encryption Needed (one.test said)');
        smtp.plan = () => undefined;
        incoming.arrived();
      });

      test('over 1 MB nginx says 413, and SMTP delivers; after that the size is known', async () => {
        const before = smtp.digests.length;
        for (const octets of [3_000_000, 20_000_000, 2_500_000]) {
          const mail = mailTo(octets);
          assert.deepEqual(await world.deliver(mail), [bySmtp]);
          assert.equal(smtp.digests.at(-1), sha256(content(mail)));
        }
        assert.equal(smtp.digests.length, before + 3);
        const small = mailTo(9000);
        assert.deepEqual(await world.deliver(small), [byHttps]);
        incoming.arrived(content(small));
        const limits = nginx().log.all.filter(line => line.includes('too large body'));
        assert.equal(limits.length, 2, 'the first, and the third, which is smaller');
      });
    },
  );
}
