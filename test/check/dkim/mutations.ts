/** Small changes of whole messages, anywhere. */
import fc from 'fast-check';

type Change = (message: string) => string;

const octets = [
  ' ',
  '\t',
  '\r\n ',
  ';',
  '=',
  ':',
  'a',
  'A',
  'b=',
  '\0',
  '\xa0',
  '\x0b',
  '\xff',
  '@',
  '.',
  '0',
  '\r\n',
  '-',
];

const at = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

/** The place in a text of that length. */
const placeIn = (place: number, length: number): number => Math.floor(place * length);

const splice = (message: string, place: number, removed: number, inserted: string): string => {
  const start = placeIn(place, message.length);
  return message.slice(0, start) + inserted + message.slice(start + removed);
};

const changeLines = (message: string, change: (lines: string[]) => void): string => {
  const lines = message.split('\r\n');
  change(lines);
  return lines.join('\r\n');
};

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(at, fc.constantFrom(...octets), fc.nat(2)).map(
    ([place, octet, removed]): Change =>
      message =>
        splice(message, place, removed, octet),
  ),
  at.map(
    (place): Change =>
      message => {
        const octet = message[placeIn(place, message.length)] ?? '';
        return splice(message, place, 1, octet === octet.toLowerCase() ? octet.toUpperCase() : octet.toLowerCase());
      },
  ),
  fc.tuple(at, at, fc.boolean()).map(
    ([one, other, keep]): Change =>
      message =>
        changeLines(message, lines => {
          const [line = ''] = lines.splice(placeIn(one, lines.length), keep ? 0 : 1);
          lines.splice(placeIn(other, lines.length), 0, keep ? (lines[placeIn(one, lines.length)] ?? '') : line);
        }),
  ),
);

/** Most of it hits the header, which is the longer part, so the body also has its own. */
const bodyChange: fc.Arbitrary<Change> = change.map(inBody => message => {
  const body = message.indexOf('\r\n\r\n') + 4;
  return message.slice(0, body) + inBody(message.slice(body));
});

export const changes: fc.Arbitrary<Change> = fc
  .array(fc.oneof({ weight: 3, arbitrary: change }, { weight: 1, arbitrary: bodyChange }), {
    minLength: 1,
    maxLength: 2,
  })
  .map(list => message => list.reduce((changed, next) => next(changed), message));
