/** docs/operate.md tells every log line, reply and reason that the source can write, and none that it cannot. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { anchorsOf, codeUnder, linksIn, readDocument } from './markdown.ts';
import { isText, logLines, reasons, replies } from './said.ts';
import { root, sources } from './sources.ts';

const document = readDocument('docs/operate.md');

const difference = (some: Iterable<string>, others: ReadonlySet<string>): string[] =>
  [...new Set(some)].filter(one => !others.has(one)).sort();

for (const [column, said, least] of [
  ['line', logLines(), 40],
  ['reply', replies(), 50],
  ['reason', reasons(), 60],
] as const) {
  test(`each ${column} of the source is documented`, () => {
    assert.ok(said.size >= least, `only ${said.size} were found`);
    assert.deepEqual(difference(said, new Set(codeUnder(column, document))), []);
  });

  test(`each documented ${column} is one of the source`, () => {
    assert.deepEqual(difference(codeUnder(column, document), said), []);
  });
}

test('each documented cause is a text of the source', () => {
  const causes = codeUnder('cause', document);
  assert.ok(causes.length > 10);
  assert.deepEqual(
    causes.filter(cause => !isText(cause)),
    [],
  );
});

test('nothing is logged in a way that is not seen here', () => {
  const calls = sources.flatMap(({ path, plain }) =>
    [...plain.matchAll(/(\w*)\.(?:info|warn|error)\(/g)].map(([, object = '']) => ({ path, object })),
  );
  assert.deepEqual(
    calls.filter(({ object }) => !/^(?:log|Log)$/.test(object)),
    [],
  );
});

for (const path of ['docs/operate.md', 'docs/replace.md']) {
  test(`links of ${path} lead somewhere`, () => {
    for (const link of linksIn(readDocument(path)).filter(target => !/^https?:/.test(target))) {
      const [file = '', anchor] = link.split('#', 2);
      const target = file === '' ? path : `docs/${file}`;
      assert.ok(existsSync(root + target), link);
      if (anchor !== undefined) assert.ok(anchorsOf(readDocument(target)).includes(`#${anchor}`), link);
    }
  });
}
