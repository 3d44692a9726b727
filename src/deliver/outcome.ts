/**
 * What became of a recipient, and the reply that says so: the one place where failures become deferred or bounced. What is unknown is
 * deferred. Pure.
 */
import { bareReply, describeReply, isPositive, type Reply, relayed, reply, type StatusDetail } from '../wire/reply.ts';
import type { RecipientResult, TransactionPhase } from './smtp-transaction.ts';

export type Carrier = 'HTTPS' | 'SMTP';

export type Phase = 'DNS' | 'connect' | 'TLS' | 'greeting' | 'EHLO' | 'STARTTLS' | 'HTTPS' | TransactionPhase;

/** Who brought the message, for the log. */
export type Way = Readonly<{ carrier: Carrier; host: string; address: string; tls: string }>;

/** A host that could not be used, or an answer that was no delivery; `cause` is foreign text. */
export type Failure = Readonly<{
  carrier: Carrier;
  host: string;
  /** IP address, empty where there is none. */
  address: string;
  phase: Phase;
  cause: string;
}>;

export type Outcome =
  | Readonly<{ kind: 'sent'; reply: Reply; way: Way }>
  | Readonly<{ kind: 'deferred' | 'bounced'; reply: Reply; failures: readonly Failure[] }>;

const maxText = 400;

export function sent(way: Way): Outcome {
  return { kind: 'sent', reply: reply(250, '0.0', `OK (${way.carrier})`), way };
}

/** A reply of our own. */
export function refused(answer: Reply, failures: readonly Failure[] = []): Outcome {
  return { kind: answer.code >= 500 ? 'bounced' : 'deferred', reply: answer, failures };
}

/** What a server's result for one recipient means; `before` is what had been tried. */
export function outcomeOf(result: RecipientResult, way: Way, before: readonly Failure[]): Outcome {
  const { carrier, host, address } = way;
  if ('reply' in result && isPositive(result.reply)) return sent(way);
  const cause = 'reply' in result ? describeReply(result.reply) : result.lost;
  const failures = [...before, { carrier, host, address, phase: result.phase, cause }];
  if ('reply' in result && result.reply.code >= 400) return refused(attributed(relayed(result.reply), host), failures);
  // After the final dot it may have arrived: a duplicate is better than a loss.
  return refused(reply(451, '4.2', shortened(`${host}: ${result.phase}: ${cause}`)), failures);
}

/** None of the hosts could be used, for these reasons in their order. */
export function unreachable(domain: string, failures: readonly Failure[]): Outcome {
  // SMTP comes last, and what it said is what an admin elsewhere can mend.
  const telling = failures.findLast(({ carrier }) => carrier === 'SMTP') ?? failures.at(-1);
  if (telling === undefined) return refused(reply(451, '4.1', `${domain}: no host was tried`));
  // What it said over HTTPS may be the true reason.
  const said = failures.findLast(
    ({ host, carrier, cause }) => host === telling.host && carrier === 'HTTPS' && /^\d{3} /.test(cause),
  );
  const text =
    said === undefined ? describeFailure(telling) : `${describeFailure(telling)} (HTTPS: ${shortened(said.cause)})`;
  return refused(reply(451, detailOf(telling.phase), text), failures);
}

/** RFC 3463: directory server failure, security, no answer from host. */
function detailOf(phase: Phase): StatusDetail {
  if (phase === 'DNS') return '4.3';
  return phase === 'TLS' || phase === 'STARTTLS' ? '7.5' : '4.1';
}

/** Whether it says nothing of the remote: this process has no descriptors left. */
export function isOurs({ cause }: Failure): boolean {
  return /\(E[MN]FILE\)/.test(cause);
}

/** For logs and replies: host, address, phase, cause. */
export function describeFailure({ host, address, phase, cause }: Failure): string {
  const place = address === '' || address === host ? host : `${host}[${address}]`;
  return shortened(`${place}: ${phase}: ${cause}`);
}

/** A server's own words, and who it was. */
function attributed({ code, lines }: Reply, host: string): Reply {
  const [last = '', ...before] = lines.toReversed();
  const [first, ...rest] = [...before.toReversed(), `${shortened(last)} (${host} said)`];
  return bareReply(code, first ?? '', ...rest);
}

function shortened(text: string): string {
  return text.length > maxText ? `${text.slice(0, maxText)}...` : text;
}
