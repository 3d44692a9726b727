import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { SMTPServer } from 'smtp-server';
import { overLmtp } from '../../demo/lmtp.ts';

const message = Buffer.from('Subject: 1\r\n\r\n.\r\n..\r\nend\r\n');
const letter = { from: 'a@one.example', to: ['b@two.example', 'c@two.example', 'd@two.example'], message };

test('LMTP: each recipient has its own reply, and the octets are those of the letter', async () => {
  const arrived: Buffer[] = [];
  const server = new SMTPServer({
    lmtp: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    hideENHANCEDSTATUSCODES: false,
    disableReverseLookup: true,
    onRcptTo: ({ address }, _, answer) => answer(address === letter.to[1] ? new Error('No such user') : null),
    onData: (stream, _, answer) => {
      buffer(stream).then(octets => {
        arrived.push(octets);
        answer(null, ['kept', Object.assign(new Error('Try later'), { responseCode: 451 })]);
      }, answer);
    },
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  try {
    const send = overLmtp((server.server.address() as AddressInfo).port);
    assert.deepEqual(await send(letter), [
      'b@two.example: 250 2.6.0 kept',
      'c@two.example: at RCPT: 550 5.1.1 No such user',
      'd@two.example: 451 4.3.0 Try later',
    ]);
    assert.deepEqual(await send({ ...letter, to: ['c@two.example'] }), ['at RCPT: 550 5.1.1 No such user']);
    assert.deepEqual(arrived, [message]);
  } finally {
    await new Promise<void>(resolve => server.close(resolve));
  }
});

test('LMTP: a server that hangs up, and none at all', async () => {
  const server = createServer(socket =>
    socket
      .on('error', () => socket.destroy())
      .resume()
      .end('220-one\r\n220 two\r\n'),
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  assert.match((await overLmtp(port)(letter))[0] ?? '', /^no reply: /);
  server.close();
  await once(server, 'close');
  assert.match((await overLmtp(port)(letter))[0] ?? '', /^no reply: connect ECONNREFUSED/);
});
