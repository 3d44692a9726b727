/** Gives checked mail to Postfix's reinjection service. */
import { lookup } from 'node:dns/promises';
import { type Mail, Reinjector } from '../deliver/reinject.ts';
import { quoted } from '../message/text.ts';
import type { Settings } from '../settings/settings.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { describeReply, type Reply } from '../wire/reply.ts';

/** Rejects when `postfix_host` has no address. */
export async function openReinjector(settings: Settings, port: number, clock: Clock): Promise<Reinjector> {
  // Postfix on a relay often listens on 127.0.0.1 alone, while localhost means ::1 too.
  const { address } = await lookup(settings.postfixHost, { order: 'ipv4first' });
  const name = settings.host.includes(':') ? `[IPv6:${settings.host}]` : `[${settings.host}]`;
  return new Reinjector({ address, port, name, clock });
}

/** The answer for the client; `what` begins the log line. */
export async function reinject(reinjector: Reinjector, mail: Mail, log: Log, what: string): Promise<Reply> {
  const { answer, failure } = await reinjector.deliver(mail);
  if (failure === null) log.debug(`${what}: ${describeReply(answer)}`);
  else log.warn(`${what} was not reinjected: ${quoted(failure, 1000)}`);
  return answer;
}
