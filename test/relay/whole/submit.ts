// A program of its own, for a host that has no test process in it: sends encrypted messages by submission, over several connections
// at once, each again until it is accepted, as mail clients do. Reads its order from standard input; for each message that was
// accepted it prints its Message-ID and how often it was tried.

import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTransport } from 'nodemailer';
import { sealed } from '../mail.ts';

export type Order = Readonly<{
  host: string;
  user: string;
  password: string;
  to: string;
  ids: readonly string[];
  connections: number;
}>;

const order: Order = JSON.parse(await text(process.stdin));
const waiting = [...order.ids];
await Promise.all(Array.from({ length: order.connections }, work));

async function work(): Promise<void> {
  for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
    const raw = sealed({ from: order.user, id });
    for (let tries = 1; ; tries++) {
      const transport = createTransport({
        host: order.host,
        port: 465,
        secure: true,
        auth: { user: order.user, pass: order.password },
        tls: { rejectUnauthorized: false },
      });
      try {
        await transport.sendMail({ envelope: { from: order.user, to: order.to }, raw });
        console.log(`${id} ${tries}`);
        break;
      } catch (error) {
        console.error(`${id}: ${error}`);
        await sleep(200);
      } finally {
        transport.close();
      }
    }
  }
}
