/** DKIM-Signature fields in every form that RFC 6376 allows, and now and then in one that it does not. */
import fc from 'fast-check';
import { blanks, mostly, oddCase, oneOf, signableNames, type Text } from './odd-text.ts';
import { bodyHash } from './oracle.ts';
import { domain, now, type Order, type WrittenTag } from './signer.ts';
import { ed25519, rsa, type TestKey } from './test-keys.ts';

type Tag = readonly [name: string, value: Text];
type Forms = Readonly<{ headerForm: string; bodyForm: string; c: string | null }>;

const form = fc.constantFrom('simple', 'relaxed');
const forms: fc.Arbitrary<Forms> = fc.oneof(
  fc.tuple(form, form).map(([headerForm, bodyForm]) => ({ headerForm, bodyForm, c: `${headerForm}/${bodyForm}` })),
  form.map(headerForm => ({ headerForm, bodyForm: 'simple', c: headerForm })),
  fc.constant({ headerForm: 'simple', bodyForm: 'simple', c: null }),
);

const names = fc
  .array(fc.constantFrom(...signableNames, ...signableNames, 'from', 'dkim-signature'), { maxLength: 7 })
  .chain(list => fc.nat(list.length).map(at => [...list.slice(0, at), 'from', ...list.slice(at)]));

const namesTag = (list: readonly string[]): Text => {
  const valid = fc
    .tuple(
      ...list.map((name, at) =>
        fc.tuple(at === 0 ? fc.constant('') : colon, oddCase(name)).map(parts => parts.join('')),
      ),
    )
    .map(parts => parts.join(''));
  const plain = list.join(':');
  return mostly(
    valid,
    oneOf('', ':', `:${plain}`, `${plain}:`, list.join('::'), `fr\r\n om:${plain}`, 'from to', 'subject'),
  );
};
const colon = fc.tuple(blanks, blanks).map(around => around.join(':'));

/** How much of the body is signed, and what l= says. */
type Length = Readonly<{ length: number | null; tags: Tag[] }>;
const bodyLength = (body: string, bodyForm: string): fc.Arbitrary<Length> => {
  const { octets } = bodyHash(body, bodyForm);
  const any = fc.nat(octets + 3).map(length => ({ length, tags: [tag('l', oneOf(`${length}`, `00${length}`))] }));
  const odd = oneOf('', '-1', '1e1', '0x5', '+5', `${octets} 5`, `${octets}.0`, '9'.repeat(76), '9'.repeat(77));
  return fc.oneof(
    { weight: 8, arbitrary: fc.constant<Length>({ length: null, tags: [] }) },
    {
      weight: 8,
      arbitrary: fc.constant<Length>({ length: null, tags: [tag('l', mostly(fc.constant(`${octets}`), odd))] }),
    },
    { weight: 2, arbitrary: any },
  );
};

const time = (value: number) => fc.constant(`${value}`);
/** None of them within the grace that clocks get. */
const times: fc.Arbitrary<Tag[]> = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Tag[]>([]) },
  { weight: 4, arbitrary: fc.nat(99_999).map(age => [tag('t', time(now - age))]) },
  { weight: 4, arbitrary: fc.nat(99_999).map(left => [tag('t', time(now - 60)), tag('x', time(now + left))]) },
  { weight: 1, arbitrary: fc.nat(99_999).map(left => [tag('x', oneOf(`00${now + left}`, `${now - 301 - left}`))]) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('', '-1', '1e9', '0x1', `${now}.0`, '1234567890123', `${now} 1`, '+1')
      .chain(value => fc.constantFrom('t', 'x').map(name => [tag(name, fc.constant(value))])),
  },
  { weight: 1, arbitrary: fc.constantFrom(0, 400).map(age => [tag('t', time(now)), tag('x', time(now - age))]) },
);

const tag = (name: string, value: Text): Tag => [name, value];

const identity = mostly(
  fc
    .tuple(oneOf('', 'a', 'a+b', 'joe=2Edoe', '"a b"', '"x@y"'), oneOf('@', '@sub.', '@a.b.'), oddCase(domain))
    .map(parts => parts.join('')),
  oneOf(
    '',
    '@',
    domain,
    `@not${domain}`,
    '@org',
    `a@${domain}.`,
    `a@ ${domain}`,
    `a=40${domain}`,
    `@${domain}@other.test`,
  ),
);
const query = mostly(
  oneOf('dns/txt', 'DNS/TXT', 'x-other:dns/txt', 'dns/txt : x/y'),
  oneOf('', 'dns', 'x-other', 'dns / txt'),
);
const copies = oneOf('From:a@b=3D|To:b=abc', 'b=', '');

/** Names that stand for themselves: tags are told by case. */
const unknown: readonly Tag[] = [
  ['B', oneOf('b=xyz', '')],
  ['BH', oneOf('AAAA')],
  ['V', oneOf('2')],
  ['D', oneOf('other.test')],
  ['H', oneOf('to')],
  ['L', oneOf('0')],
  ['bb', oneOf('b=1', '\r\n ')],
  ['x_1', oneOf('b=b=b', 'it\'s "odd" (b=1)\\')],
];
const malformed: readonly Tag[] = ['1a', '', 'a-b', 'v', 'b', 'h', 'a b', '\xe9'].map(name => [name, oneOf('1', '')]);

const optional = fc
  .tuple(
    fc.subarray<Tag>([['i', identity], ['q', query], ['z', copies], ...unknown]),
    fc.oneof(
      { weight: 20, arbitrary: fc.constant<Tag[]>([]) },
      { weight: 1, arbitrary: fc.subarray([...malformed], { maxLength: 1 }) },
    ),
  )
  .map(([some, wrong]) => [...some, ...wrong]);

const required = (key: TestKey, list: readonly string[]): Tag[] => {
  const wrongAlgorithms = oneOf(
    '',
    'rsa-sha1',
    'rsa',
    'rsa - sha256',
    'ed25519-sha512',
    'rsa-x-sha256',
    'rsa-sha256',
    'ed25519-sha256',
  );
  const wrongDomains = oneOf('', 'other.test', `${domain}.`, `sub.${domain}`, 'org', `.${domain}`, 'example..org');
  const selector = key.name === 'rsa' ? 's1' : 's2';
  return [
    ['v', mostly(oneOf('1'), oneOf('', '2', '01', '1.0', 'DKIM1', '1 1'))],
    ['a', mostly(oddCase(`${key.name}-sha256`), wrongAlgorithms)],
    ['d', mostly(oddCase(domain), wrongDomains)],
    ['s', mostly(oddCase(selector), oneOf('', 's3', `${selector}.`, '-s1', 'a.b', 's'.repeat(64)))],
    ['h', namesTag(list)],
    ['bh', mostly(oneOf('*'), oneOf('', '*=', '*!', 'AAAA', '*AAAA'))],
    ['b', mostly(oneOf('*'), oneOf('', '*=', '*AAAA', 'AAAA'))],
  ];
};
const canonicalization = (c: string | null): Tag[] =>
  c === null ? [] : [['c', mostly(oddCase(c), oneOf('', 'nowsp', 'relaxed/nofws', 'nofws/relaxed'))]];

/** All of the tags, or now and then all but one, in any order. */
const arranged = (tags: readonly Tag[]): fc.Arbitrary<Tag[]> =>
  fc.oneof(
    { weight: 1, arbitrary: fc.shuffledSubarray([...tags], { minLength: tags.length - 1 }) },
    { weight: 20, arbitrary: fc.shuffledSubarray([...tags], { minLength: tags.length }) },
  );

const written = ([name, value]: Tag): fc.Arbitrary<WrittenTag> =>
  fc.record({ name: fc.constant(name), value, before: blanks, equals: mostly(oneOf('='), equals), after: blanks });
const equals = fc.tuple(blanks, blanks).map(around => around.join('='));

const folds = fc.tuple(fc.integer({ min: 1, max: 80 }), blanks).map(
  ([width, fold]) =>
    (text: string) =>
      text.replace(new RegExp(`.{${width}}`, 'g'), piece => piece + fold),
);

/** How a message is to be signed once more. */
export function orders(header: string, body: string): fc.Arbitrary<Order> {
  return fc.tuple(forms, fc.constantFrom(rsa, ed25519), names).chain(([{ headerForm, bodyForm, c }, key, list]) =>
    fc
      .tuple(bodyLength(body, bodyForm), times, optional)
      .chain(([{ length, tags: lengthTags }, timeTags, others]) =>
        arranged([...required(key, list), ...canonicalization(c), ...lengthTags, ...timeTags, ...others])
          .chain(tags => fc.tuple(...tags.map(written)))
          .map(tags => ({ tags, length })),
      )
      .chain(parts =>
        fc.record({
          header: fc.constant(header),
          body: fc.constant(body),
          key: fc.constant(key),
          fieldName: oneOf('DKIM-Signature:', 'Dkim-signature :', 'dkim-signature\t :', 'DKIM-SIGNATURE:\r\n '),
          tags: fc.constant(parts.tags),
          end: mostly(oneOf('', ';', '; ', ';\r\n\t', ' ; \r\n '), oneOf(';;', '; ;', ';=', ';x', ';v=1')),
          signedFields: fc.constant(list.join(':')),
          headerForm: fc.constant(headerForm),
          bodyForm: fc.constant(bodyForm),
          length: fc.constant(parts.length),
          fold: folds,
        }),
      ),
  );
}
