/**
 * One mail transaction over an SMTP connection that is ready for it (RFC 5321 3.3), pipelined where the server allows it: what each
 * recipient was answered.
 */
import type { Envelope } from '../message/envelope.ts';
import type { Spool } from '../system/spool.ts';
import { mailCommand, needsSmtpUtf8, rcptCommand, xforwardCommands } from '../wire/client-commands.ts';
import { describeReply, isPositive, type Reply, reply } from '../wire/reply.ts';
import type { Lost, SmtpClient } from './smtp-client.ts';

/** Where in the transaction a server gave its answer or was lost. */
export type TransactionPhase = 'MAIL' | 'RCPT' | 'DATA' | 'message' | 'end of data';

/** What became of one recipient: the server's answer, or why there is none. */
export type RecipientResult = Readonly<{ phase: TransactionPhase }> & (Readonly<{ reply: Reply }> | Lost);

export type Wishes = Readonly<{
  /** When one recipient is refused nobody gets the message, because the client hears one answer for all. */
  allOrNothing: boolean;
  /** The spool's memory may be given back on the way: nobody else reads it. */
  release: boolean;
  /** Called before the first octet of the message goes out. */
  dataBegins: () => void;
  /** Asked right before the final dot goes out. */
  mayEnd: () => boolean;
}>;

const noSmtpUtf8 = reply(553, '6.7', 'SMTPUTF8 is needed and the next hop does not offer it');

/** One result a recipient, in their order. The connection is fit for another transaction when all are positive. */
export async function transact(
  client: SmtpClient,
  envelope: Envelope,
  content: Spool,
  wishes: Wishes,
): Promise<readonly RecipientResult[]> {
  const { recipients } = envelope;
  if (needsSmtpUtf8(envelope.from, recipients) && !client.extensions.has('SMTPUTF8'))
    return recipients.map(() => ({ reply: noSmtpUtf8, phase: 'MAIL' }));
  const { mail, rcpts, data, lost } = await introduce(client, envelope, wishes);
  const results = rcpts.map(rcpt => refusal(mail, 'MAIL') ?? refusal(rcpt, 'RCPT') ?? refusal(data, 'DATA'));
  const others = (result: RecipientResult) => results.map(own => own ?? result);
  if (lost !== null) return others({ lost, phase: phaseAfter(mail, rcpts) });
  const refused = results.filter(own => own !== null).length;
  if (refused === results.length || (wishes.allOrNothing && refused > 0)) {
    // DATA may have been accepted all the same: the next octets would be a message.
    if (!wishes.allOrNothing && data?.code === 354 && !rcpts.some(isAccepted)) await client.sendNothing();
    else client.abort('the transaction was refused');
    return others({ lost: 'another recipient was refused', phase: 'RCPT' });
  }
  wishes.dataBegins();
  const early = await client.sendMessage(content, wishes);
  if (early !== null) return others({ ...asResult(early), phase: 'message' });
  return others({ ...asResult(await client.finalReply()), phase: 'end of data' });
}

type Introduction = Readonly<{
  mail: Reply | undefined;
  /** As many as there are recipients. */
  rcpts: readonly (Reply | undefined)[];
  data: Reply | undefined;
  lost: string | null;
}>;

/** All commands of the transaction; missing answers where it ended early. */
async function introduce(
  client: SmtpClient,
  { from, recipients, xforward }: Envelope,
  { allOrNothing }: Wishes,
): Promise<Introduction> {
  const { extensions } = client;
  const forwarded = xforwardCommands(xforward, extensions);
  const commands = [
    ...forwarded,
    mailCommand(from, extensions),
    ...recipients.map(recipient => rcptCommand(recipient, extensions)),
    'DATA\r\n',
  ];
  let accepted = 0;
  const { replies, lost } = await client.exchange(commands, (answer, index) => {
    // A refused XFORWARD costs a log line its client, not the user the mail.
    if (index < forwarded.length) return false;
    if (isPositive(answer)) accepted++;
    else if (allOrNothing || index === forwarded.length) return true;
    return index === commands.length - 2 && accepted < 2;
  });
  const [mail, ...rest] = replies.slice(forwarded.length);
  const rcpts = recipients.map((_, index) => rest[index]);
  const data = rest[recipients.length];
  const strange =
    [mail, ...rcpts].find(answer => answer !== undefined && answer.code < 400 && !isPositive(answer)) ??
    (data !== undefined && data.code < 400 && data.code !== 354 ? data : undefined);
  if (lost !== null || strange === undefined) return { mail, rcpts, data, lost };
  return { mail, rcpts, data, lost: client.abort(`unexpected answer: ${describeReply(strange)}`).lost };
}

function isAccepted(answer: Reply | undefined): boolean {
  return answer !== undefined && isPositive(answer);
}

/** Which command was not answered any more. */
function phaseAfter(mail: Reply | undefined, rcpts: readonly (Reply | undefined)[]): TransactionPhase {
  if (mail === undefined) return 'MAIL';
  return rcpts.includes(undefined) ? 'RCPT' : 'DATA';
}

function refusal(answer: Reply | undefined, phase: TransactionPhase): RecipientResult | null {
  return answer !== undefined && answer.code >= 400 ? { reply: answer, phase } : null;
}

function asResult(answer: Reply | Lost): { reply: Reply } | Lost {
  return 'lost' in answer ? answer : { reply: answer };
}
