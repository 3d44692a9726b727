// A process of its own: the mail servers of all the world, on two loopback ports. SMTP with STARTTLS takes everything, POST /mxdeliv over
// HTTPS too, but for hosts under `smtp.test`, which have no such path. On SIGTERM it prints how many messages it took.
//
//     node tls-sink.ts smtpPort httpsPort key.pem certificate.pem

import { readFileSync } from 'node:fs';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

const [smtpPort, httpsPort, keyPath = '', certificatePath = ''] = process.argv.slice(2);
const certificate = { key: readFileSync(keyPath), cert: readFileSync(certificatePath) };
/** As nginx has it, and longer than the client keeps a connection. */
const keepAliveTimeout = 75_000;
const endOfData = '\r\n.\r\n';
let taken = 0;

const extensions = ['sink.test', 'PIPELINING', 'SIZE 100000000', '8BITMIME', 'ENHANCEDSTATUSCODES', 'SMTPUTF8'];
const hello = (names: readonly string[]) => `${names.map(name => `250-${name}\r\n`).join('')}250 HELP`;
const replies: Readonly<Record<string, string>> = {
  MAIL: '250 2.1.0 Ok',
  RCPT: '250 2.1.5 Ok',
  RSET: '250 2.0.0 Ok',
  DATA: '354 End data with a dot',
  STARTTLS: '220 2.0.0 Ready to start TLS',
  QUIT: '221 2.0.0 Bye',
};

/** One side of a connection, before or in TLS. */
function converse(socket: Socket, ehlo: string, startTls: () => void): void {
  let pending = '';
  let inData = false;
  const answer = (command: string): string => {
    const verb = command.slice(0, 8).split(' ', 1)[0]?.toUpperCase() ?? '';
    inData = verb === 'DATA';
    return verb === 'EHLO' ? ehlo : (replies[verb] ?? '502 5.5.1 Not here');
  };
  const take = (chunk: Buffer) => {
    pending += chunk.toString('latin1');
    let said = '';
    for (;;) {
      const mark = inData ? endOfData : '\r\n';
      const end = pending.indexOf(mark);
      if (end < 0) break;
      const before = pending.slice(0, end);
      pending = pending.slice(end + mark.length);
      if (inData) {
        inData = false;
        taken++;
        said += '250 2.0.0 Ok: taken\r\n';
      } else said += `${answer(before)}\r\n`;
      if (said.startsWith('220')) {
        socket.off('data', take);
        socket.write(said);
        return startTls();
      }
      if (said.endsWith(`${replies.QUIT}\r\n`)) return void socket.end(said);
    }
    if (inData) pending = pending.slice(1 - endOfData.length);
    if (said !== '') socket.write(said);
  };
  socket.on('data', take).on('error', () => socket.destroy());
}

const secured = createTlsServer(certificate, socket => converse(socket, hello(extensions), () => undefined));
secured.on('tlsClientError', (_error, socket) => socket.destroy());

const plain = createServer({ noDelay: true }, socket => {
  socket.write('220 sink.test ESMTP\r\n');
  converse(socket, hello([...extensions, 'STARTTLS']), () => secured.emit('connection', socket));
});

const https = createHttpsServer({ ...certificate, keepAliveTimeout }, (request, response) => {
  request.resume().on('end', () => {
    const isServed = !request.headers.host?.endsWith('.smtp.test') && request.url === '/mxdeliv';
    if (isServed) taken++;
    response.writeHead(isServed ? 200 : 404).end(isServed ? '250 2.0.0 taken' : 'not found');
  });
});

for (const [server, port] of [
  [plain, smtpPort],
  [https, httpsPort],
] as const)
  server.listen({ host: '127.0.0.1', port: Number(port), backlog: 1024 });

process.on('SIGTERM', () => {
  console.log(`took ${taken}`);
  process.exit(0);
});
