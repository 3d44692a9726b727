// The rules for incoming mail, over the real sockets: every literal reply, what reaches the next hop, what the log says.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DnsServer } from '../peers/dns-server.ts';
import { Signer } from '../peers/signer.ts';
import { sealed } from '../relay/mail.ts';
import { Binary } from './binary.ts';
import { sendOne } from './client.ts';
import { wire } from './mail.ts';
import { assertDelivered, NextHop } from './next-hop.ts';
import { Site } from './site.ts';

const author = 'mallory@two.test';
const vic = 'vic@one.test';
const signer = new Signer('two.test');
let hop: NextHop;
let dns: DnsServer;
let site: Site;
let filter: Binary;

before(async () => {
  hop = await NextHop.start();
  dns = await DnsServer.listen();
  dns.txt(signer.name, [signer.record]);
  site = await Site.make(hop.port, { filtermail_dns_servers: dns.address });
  filter = await Binary.serve(site, {}, 'incoming');
});

after(() => dns[Symbol.asyncDispose]());

test('a message that is encrypted and signed passes, over SMTP and over HTTP', async () => {
  const message = wire(await signer.sign(sealed({ from: author })));
  assert.equal(
    await sendOne(site.incomingPort, { from: author, to: [vic], wire: message }),
    '250 2.0.0 Ok: queued as 42',
  );
  assertDelivered(hop, message);
  const response = await fetch(`http://127.0.0.1:${site.httpPort}/mxdeliv`, {
    method: 'POST',
    headers: { 'X-MAIL-FROM': author, 'X-MAIL-TO': vic },
    body: new Uint8Array(message.subarray(0, -3)),
  });
  assert.deepEqual([response.status, await response.text()], [200, '250 2.0.0 Ok: queued as 42']);
  assertDelivered(hop, message);
  await filter.stop();
  assert.deepEqual(filter.log.all.slice(1), Array(2).fill('INFO Incoming: Filtering encrypted mail.'));
});
