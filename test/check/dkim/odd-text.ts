/** Header fields and bodies as odd as RFC 5322 allows, and a little odder. Octet strings without bare CR or LF. */
import fc from 'fast-check';

export type Text = fc.Arbitrary<string>;

export const oneOf = (...texts: string[]): Text => fc.constantFrom(...texts);

export const joined = (piece: Text, maxLength: number): Text =>
  fc.array(piece, { maxLength }).map(pieces => pieces.join(''));

/** The usual one nearly always, so that most of what is made is valid and reaches the signature itself. */
export const mostly = (usual: Text, odd: Text): Text =>
  fc.oneof({ weight: 40, arbitrary: usual }, { weight: 1, arbitrary: odd });

export const oddCase = (text: string): Text =>
  fc
    .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
    .map(capitals => [...text].map((letter, at) => (capitals[at] ? letter.toUpperCase() : letter)).join(''));

/** Blanks of every kind that may be folded: a line end always has a blank behind it. */
export const blanks = oneOf(
  '',
  '',
  '',
  ' ',
  '\t',
  '  ',
  '\r\n ',
  ' \r\n\t',
  '\t \r\n \t',
  '\r\n \r\n ',
  ' \r\n\t\r\n ',
);

const letters = oneOf(
  'a',
  'Bc',
  ':',
  ';',
  '=',
  'b=',
  '"',
  'from:',
  '\xe9',
  '\xa0',
  '\x85',
  '\xff',
  '\x7f',
  '\0',
  '\x0b',
);
const colon = oneOf(':', ': ', ' :', '\t: ', ' \t :\t', ':\r\n ', ':  ');
const name = oneOf(
  'To',
  'TO',
  'tO',
  'Subject',
  'subject',
  'X-Odd',
  "x'!#$%&_~",
  'X',
  'Received',
  'Dkim-Signatur',
  'Cc',
);

/** Names in lower case that signatures may name, present or not. */
export const signableNames = ['to', 'subject', 'x-odd', "x'!#$%&_~", 'x', 'received', 'cc', 'missing'];

const field = fc.tuple(name, colon, joined(fc.oneof(blanks, letters), 8)).map(parts => `${parts.join('')}\r\n`);

const fromField = (domain: string): Text =>
  fc
    .tuple(oddCase('from'), colon, blanks, oneOf(`a@${domain}`, `A <a@${domain.toUpperCase()}>`), blanks)
    .map(parts => `${parts.join('')}\r\n`);

/** With one From field, whose address is at the domain. */
export const oddHeader = (domain: string): Text =>
  fc
    .tuple(fc.array(field, { maxLength: 6 }), fromField(domain), fc.array(field, { maxLength: 3 }))
    .map(([before, from, after]) => [...before, from, ...after].join(''));

// biome-ignore format: a line a piece would be long.
const bodyPieces = [
  'a', 'Line', ' ', ' ', '  ', '\t', '\r\n', '\r\n', '\r\n\r\n', ' \r\n', '\t\r\n', '\xa0', '\0', '\xff.', '-'.repeat(90),
];

export const oddBody = joined(oneOf(...bodyPieces), 14);
