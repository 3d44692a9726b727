/** One mailbox of RFC 5322 3.4 by its tokens: the oracle of `parseMailbox`. No comments within address literals. */
import { withoutComments } from './strict-reader.ts';

const atom = String.raw`[^\x00-\x20()<>[\]:;@\\,."\x7f]+`;
const literal = String.raw`\[[ \t\r\n]*[0-9A-Za-z:.-]+[ \t\r\n]*\]`;
const tokens = new RegExp(String.raw`${literal}|"(?:[^"\\]|\\[\s\S])*"|[ \t\r\n]+|${atom}|[\s\S]`, 'g');

/** a: atom, q: quoted string, l: address literal; other octets stand for themselves. */
function kindOf(token: string): string {
  if (token.startsWith('"') && token.length > 1) return 'q';
  if (token.startsWith('[') && token.length > 1) return 'l';
  return new RegExp(`^${atom}$`).test(token) ? 'a' : token;
}

const address = String.raw`(?:a(?:\.a)*|q)@(?:a(?:\.a)*|l)`;
const mailbox = new RegExp(`^(?:${address}|[aq.]*<${address}>)$`);

export function strictMailbox(value: string): string | null {
  const encodedWords = value.match(/=\?[^?]*\?[^?]*\?[\s\S]*?\?=/g) ?? [];
  if (encodedWords.some(word => /["()<>@,;:\\[\]]/.test(word))) return null;
  const all = withoutComments(value)?.match(tokens) ?? [];
  const words = all.filter(token => !/^[ \t\r\n]+$/.test(token));
  const kinds = words.map(kindOf).join('');
  if (!mailbox.test(kinds)) return null;
  const from = kinds.includes('<') ? kinds.lastIndexOf('<') + 1 : 0;
  const [localPart = '', domain = ''] = [
    words.slice(from, kinds.lastIndexOf('@')),
    words.slice(kinds.lastIndexOf('@') + 1).filter(word => word !== '>'),
  ].map(list => list.join(''));
  const name = localPart.startsWith('"') ? content(localPart) : localPart;
  return name === null ? null : `${name}@${domain.replaceAll(/[ \t\r\n]/g, '')}`;
}

/** What a quoted local part says, when a Dot-string of atoms and dots could say it. */
function content(quoted: string): string | null {
  const text = quoted
    .slice(1, -1)
    .replaceAll(/\\([\s\S])/g, '$1')
    .replaceAll('\r\n', '');
  return new RegExp(String.raw`^(?:${atom}|\.)+$`).test(text) ? text : null;
}
