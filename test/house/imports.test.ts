import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as rules from './rules.ts';

type Rule = (sources: readonly rules.Source[]) => string[];

const root = new URL('../../src/', import.meta.url);
const sources: rules.Source[] = globSync('**/*.ts', { cwd: root })
  .sort()
  .map(path => ({ path, text: readFileSync(new URL(path, root), 'utf8') }));

test('the sources are there and their imports are seen', () => {
  assert.ok(sources.length > 30, `${sources.length} files`);
  const scanner = sources.find(({ path }) => path === 'message/scanner.ts');
  assert.ok(scanner);
  const targets = rules.importsOf(scanner).map(({ target }) => target);
  assert.ok(targets.includes('message/armor.ts') && targets.includes('message/header.ts'), targets.join());
  // Every relative import must lead to a file, or a rule would look past it.
  for (const source of sources) {
    for (const { target } of rules.importsOf(source)) {
      if (!/^(?:node:|mailauth\/|[a-z@][\w@-]*$)/.test(target))
        assert.ok(
          sources.some(({ path }) => path === target),
          `${source.path}: ${target}`,
        );
    }
  }
});

/** Each rule with made-up sources that break it, and some that come near and do not. */
const table: [
  name: string,
  rule: Rule,
  broken: [path: string, text: string][],
  near: [path: string, text: string][],
][] = [
  [
    'message, check and wire import nothing that reaches out',
    rules.impureImports,
    [
      ['message/x.ts', "import { connect } from 'node:net';"],
      ['wire/x.ts', "import {\n  readFileSync,\n  type Stats,\n} from 'node:fs';"],
      ['check/x.ts', "import { resolve } from 'node:dns/promises';"],
      ['check/dkim/x.ts', "import * as tls from 'node:tls';"],
      ['message/x.ts', "import 'node:https';"],
      ['message/x.ts', "export { request } from 'http';"],
      ['wire/x.ts', "const { setTimeout: wait } = await import('node:timers/promises');"],
      ['wire/x.ts', "const fs = process.getBuiltinModule('node:fs');"],
      ['wire/x.ts', 'const any = await import(name);'],
      ['message/x.ts', "import type { Socket } from 'node:net';"],
    ],
    [
      ['message/x.ts', "import { createHash, verify } from 'node:crypto';"],
      ['message/x.ts', "import { isUtf8 } from 'node:buffer';"],
      ['message/x.ts', "// import { connect } from 'node:net';"],
      ['message/x.ts', "/**\n * import 'node:fs';\n */"],
      ['system/x.ts', "import { connect } from 'node:net';"],
    ],
  ],
  [
    'message, check and wire import only each other',
    rules.pureImportsImpure,
    [
      ['message/x.ts', "import { openLog } from '../system/y.ts';"],
      ['check/dkim/x.ts', "import type { Settings } from '../../settings/y.ts';"],
      ['wire/x.ts', "import { Intake } from '../accept/y.ts';"],
    ],
    [
      ['check/dkim/x.ts', "import { foldCase } from '../../message/y.ts';"],
      ['wire/x.ts', "import type { Envelope } from '../message/y.ts';"],
    ],
  ],
  [
    'accept and deliver never import check',
    rules.edgesImportCheck,
    [
      ['accept/x.ts', "import { judgeOutgoing } from '../check/y.ts';"],
      ['deliver/x.ts', "import type { Verdict } from '../check/dkim/y.ts';"],
    ],
    [['modes/x.ts', "import { judgeOutgoing } from '../check/y.ts';"]],
  ],
  [
    'only modes sees accept, check and deliver',
    rules.seesAllThree,
    [
      ['main.ts', "import './accept/y.ts';\nimport './check/y.ts';\nimport './deliver/y.ts';"],
      [
        'system/x.ts',
        "import '../accept/y.ts';\nimport type { A } from '../check/y.ts';\nexport * from '../deliver/y.ts';",
      ],
      ['deliver/x.ts', "import '../accept/y.ts';\nimport '../check/y.ts';"],
    ],
    [
      ['modes/x.ts', "import '../accept/y.ts';\nimport '../check/y.ts';\nimport '../deliver/y.ts';"],
      ['main.ts', "import './accept/y.ts';\nimport './deliver/y.ts';\nimport './modes/y.ts';"],
    ],
  ],
  [
    'message, check and wire call no clock and no random source',
    rules.clocksAndRandom,
    [
      ['check/x.ts', 'const now = Date.now();'],
      ['check/x.ts', 'const now = new Date();'],
      ['message/x.ts', 'const now = performance.now();'],
      ['wire/x.ts', 'const now = process.hrtime.bigint();'],
      ['wire/x.ts', 'setTimeout(() => {}, 1);'],
      ['message/x.ts', 'const id = Math.random();'],
      ['message/x.ts', "import { randomBytes } from 'node:crypto';"],
      ['message/x.ts', 'crypto.getRandomValues(octets);'],
      ['check/x.ts', 'const id = crypto.randomUUID();'],
    ],
    [
      ['check/x.ts', '// never Date.now()\nfunction admit(now: number) {}'],
      ['message/x.ts', 'const updated = update(date);'],
      ['system/x.ts', 'const now = performance.now();'],
    ],
  ],
  [
    'only main and settings read the environment and the arguments',
    rules.environmentReads,
    [
      ['system/x.ts', 'const level = process.env.RUST_LOG;'],
      ['modes/x.ts', 'const [, , mode] = process.argv;'],
      ['accept/x.ts', "const host = process['env'].HOST;"],
      ['accept/x.ts', 'const { env } = process;'],
      ['accept/x.ts', "import { argv } from 'node:process';"],
    ],
    [
      ['main.ts', 'load(process.argv[2], process.env);'],
      ['settings/x.ts', 'const level = process.env.RUST_LOG;'],
      ['system/x.ts', 'process.exit(process.environment);'],
    ],
  ],
  [
    `no file has more than ${rules.maxLines} lines`,
    rules.tooLong,
    [['wire/x.ts', 'x;\n'.repeat(401)]],
    [['wire/x.ts', 'x;\n'.repeat(400)]],
  ],
  [
    'no names that say nothing',
    rules.forbiddenNames,
    [
      ['message/utils.ts', ''],
      ['message/header-helpers.ts', ''],
      ['helpers/x.ts', ''],
      ['wire/x.ts', 'export class ConnectionManager {}'],
      ['wire/x.ts', 'function stringUtil() {}'],
      ['wire/x.ts', 'export const parseHelper = 1;'],
      ['wire/x.ts', 'export async function handleMail() {}'],
      ['wire/x.ts', 'class A {\n  #handleLine(line: string): void {\n  }\n}'],
      ['wire/x.ts', 'function processLine() {}'],
    ],
    [
      ['message/futility.ts', 'const utilise = 1;'],
      ['wire/x.ts', 'const handle = open();\nconst processes = 1;'],
      ['wire/x.ts', '// no utils, no helpers, no manager'],
    ],
  ],
  [
    'no import cycles',
    rules.cycles,
    [
      ['wire/x.ts', "import './x.ts';"],
      ['wire/y.ts', "import { x } from './x.ts';\nexport const y = x;"],
    ],
    [['wire/y.ts', "import type { X } from './x.ts';"]],
  ],
];

// What made-up sources import.
const others: rules.Source[] = ['system', 'settings', 'accept', 'check', 'check/dkim', 'deliver', 'message', 'modes']
  .map(unit => ({ path: `${unit}/y.ts`, text: '' }))
  .concat([{ path: 'wire/x.ts', text: "import { y } from './y.ts';" }]);

for (const [name, rule, broken, near] of table) {
  test(name, async t => {
    await t.test('holds', () => assert.deepEqual(rule(sources), []));
    const withOne = ([path, text]: [string, string]) => [
      ...others.filter(other => other.path !== path),
      { path, text },
    ];
    for (const made of broken)
      await t.test(`is broken by ${JSON.stringify(made)}`, () => assert.equal(rule(withOne(made)).length, 1));
    for (const made of near)
      await t.test(`is not broken by ${JSON.stringify(made)}`, () => assert.deepEqual(rule(withOne(made)), []));
  });
}
