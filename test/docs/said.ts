/** Every log line (INFO and above), reply and reason that the source can write, read from its calls. */
import { argumentsAt, sources, textOf } from './sources.ts';

/**
 * Calls that say too little by themselves, and what their first `…` stands for. Here by hand, because it takes more than a constant to
 * find out; each piece must still be a text of the source.
 */
const spelledOut: Readonly<Record<string, readonly string[]>> = {
  'INFO Outgoing: Filtering … mail.': ['encrypted', 'unencrypted'],
  'INFO Incoming: Filtering …': ['encrypted mail.', 'unencrypted mail.', 'mailer-daemon message from <…>'],
  'WARN …: … …: …': [
    'Incoming: every address enforces encryption',
    'Incoming: refused mail cannot be kept',
    '…: large mail may be refused',
  ],
  'WARN … was not reinjected: …': ['Outgoing: … mail from …', 'Incoming: … mail from …'],
  'INFO Transport: … (… to …, …)': ['sent by … to …[…], …'],
  'WARN Transport: … (… to …, …)': ['…: …', 'lost'],
  'WARN Transport: …: … (… to …, …)': ['deferred', 'bounced'],
  'INFO Transport: …': [
    'MTA-STS policy of …: …',
    'the MTA-STS policy of …, a test, does not list its MX …',
    'the MTA-STS policy of … does not list its MX …',
  ],
};

/** The same for replies whose call has no literal text: `[what it becomes, the text that must be in the source]`. */
const repliesSpelledOut: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  "reply(554, '7.1', refused)": [
    ['554 5.7.1 No DKIM signature found', 'No DKIM signature found'],
    ['554 5.7.1 No valid DKIM signature found', 'No valid DKIM signature found'],
  ],
  "reply(501, badAddress, 'Bad address syntax')": [
    ['501 5.1.7 Bad address syntax', "'1.7'"],
    ['501 5.1.3 Bad address syntax', "'1.3'"],
  ],
  "reply(451, '4.2', shortened(`…: …: …`))": [['451 4.4.2 …: …: …', '…: …: …']],
  'reply(451, detailOf(telling.phase), text)': [
    ['451 4.4.1 …: …: …', "'4.1'"],
    ['451 4.4.3 …: …: …', "'4.3'"],
    ['451 4.7.5 …: …: …', "'7.5'"],
  ],
  // Another server's words.
  "bareReply(code, first ?? '', ...rest)": [['… (… said)', '… (… said)']],
  // The one call that makes what `unroutable` is given.
  'reply(code, detail, cause)': [],
  // A method of that name.
  'reply(time = this.#times.each)': [],
  // Answers to HELO and EHLO: our name and the extensions.
  'bareReply(250, name)': [],
  'bareReply(250, name, ...extensions)': [],
};

/** Types whose members, in quotes, go into log lines. */
const reasonTypes =
  /^export type (?:Unencrypted|MultipartFault|PacketFault|ArmorFault|SignatureFault|KeyFault|VerificationFault|Phase|TransactionPhase) =([^;]+);/gm;

export const isText = (text: string): boolean =>
  sources.some(source => source.text.includes(text) || source.plain.includes(text));

/** `LEVEL text`. */
export function logLines(): Set<string> {
  const lines = sources.flatMap(source => {
    const calls = [...source.plain.matchAll(/\b[lL]og\.(info|warn|error)(?=\()/g)].map(call => {
      const [argument = ''] = argumentsAt(source.plain, call.index + call[0].length);
      const text = textOf(argument, source);
      if (text === null) throw new Error(`${source.path}: not to be read: ${call[0]}(${argument})`);
      return `${call[1]?.toUpperCase()} ${text}`;
    });
    // Written to stderr without the log.
    const others = [...source.plain.matchAll(/(['`])((?:ERROR|WARN|INFO) .*?)(?:\\n)?\1/g)].map(
      ([, , text = '']) => text,
    );
    return [...calls, ...others];
  });
  return new Set(lines.flatMap(filledIn));
}

function filledIn(line: string): readonly string[] {
  const fillings = Object.hasOwn(spelledOut, line) ? spelledOut[line] : undefined;
  if (fillings === undefined) return [line];
  return fillings.flatMap(filling => {
    if (!isText(filling)) throw new Error(`not in the source any more: ${filling}`);
    return filledIn(line.replace('…', filling));
  });
}

/** `code x.y.z text`. */
export function replies(): Set<string> {
  const found = sources.flatMap(source =>
    [...source.plain.matchAll(/(?<!function |[\w#]|[^.]\.)(reply|bareReply|unroutable)(?=\()/g)].flatMap(call => {
      const given = argumentsAt(source.plain, call.index + call[0].length);
      const [code = '', ...rest] = given;
      const text = textOf(rest.at(-1) ?? '', source);
      const detail = call[1] === 'bareReply' ? '' : (/^'(\d+\.\d+)'$/.exec(rest[0] ?? '')?.[1] ?? null);
      if (/^\d{3}$/.test(code) && text !== null && detail !== null)
        return [`${code} ${detail === '' ? '' : `${code[0]}.${detail} `}${text}`];
      const key = `${call[1]}(${given.join(', ')})`;
      const spelled = Object.hasOwn(repliesSpelledOut, key) ? repliesSpelledOut[key] : undefined;
      if (spelled === undefined) throw new Error(`${source.path}: not to be read: ${key}`);
      return spelled.map(([becomes, text]) => {
        if (!isText(text)) throw new Error(`not in the source any more: ${text}`);
        return becomes;
      });
    }),
  );
  return new Set(found);
}

/** Why a message is refused, as the log tells it in parentheses or behind a colon. */
export function reasons(): Set<string> {
  const members = sources.flatMap(({ text }) =>
    [...text.matchAll(reasonTypes)].flatMap(([, union = '']) =>
      [...union.matchAll(/'([^']+)'/g)].map(([, name = '']) => name),
    ),
  );
  const entrances = sources.filter(({ path }) => path.startsWith('src/accept/'));
  const details = entrances.flatMap(({ plain }) =>
    [...plain.matchAll(/\bdetail: (['`])(.+?)\1/g)].map(([, , text = '']) => text),
  );
  const modes = sources.filter(({ path }) => path.startsWith('src/modes/'));
  const inline = modes.flatMap(({ text }) => [...text.matchAll(/\bfault: '([^']+)'/g)].map(([, name = '']) => name));
  return new Set([...members, ...details, ...inline]);
}
