// Spoils the messages of test/peers/dns-server.ts in ways that a resolver would not.

import * as packets from 'dns-packet';
import type { Delivery } from '../peers/dns-server.ts';

/** The answer section made anew; EDNS, which does not matter here, is lost. */
export function withAnswers(change: (answers: readonly packets.Answer[]) => packets.Answer[]): Delivery {
  return message => {
    const { id = 0, flags = 0, questions = [], answers = [] } = packets.decode(message);
    return [packets.encode({ id, flags, type: 'response', questions, answers: change(answers) })];
  };
}

/** Answers with these TTLs, the last one for all that follow. */
export function withTtl(...ttls: readonly number[]): Delivery {
  return withAnswers(answers =>
    answers.map((answer, index) => ({ ...answer, ttl: ttls[index] ?? ttls.at(-1) ?? 0 }) as packets.Answer),
  );
}

/** A single MX whose name is one label of these octets. */
export function mxOfLabel(octets: Buffer): Delivery {
  const stand = 'z'.repeat(octets.length);
  return message => {
    const [made = message] = withAnswers(answers =>
      answers.map(({ name }) => ({ type: 'MX', name, ttl: 60, data: { preference: 1, exchange: stand } })),
    )(message);
    octets.copy(made, made.lastIndexOf(stand));
    return [made];
  };
}
