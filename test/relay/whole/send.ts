// A program of its own, for a host that has no test process in it: sends one message and prints the answer to it. Reads what and
// where from standard input.

import { text } from 'node:stream/consumers';
import { createTransport } from 'nodemailer';

export type Sending = Readonly<{
  host: string;
  /** 465, else STARTTLS. */
  port: number;
  login?: Readonly<{ user: string; pass: string }>;
  from: string;
  to: string;
  raw: string;
}>;

const { host, port, login, from, to, raw }: Sending = JSON.parse(await text(process.stdin));
const transport = createTransport({
  host,
  port,
  secure: port === 465,
  auth: login,
  tls: { rejectUnauthorized: false },
});
const answer = await transport.sendMail({ envelope: { from, to }, raw }).then(
  ({ response }) => response,
  error => error.response ?? String(error),
);
console.log(answer);
transport.close();
