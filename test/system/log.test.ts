// The log: which levels are on, and that lines stay lines whatever the reader does.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { levelsOn, openLog } from '../../src/system/log.ts';

const directory = mkdtempSync(join(tmpdir(), 'filtermail-log-'));
after(() => rmSync(directory, { recursive: true }));

describe('levels, in the syntax of env_logger', () => {
  const [off, error, warn, info, debug, trace] = [0, 1, 2, 3, 4, 5];
  const cases: [string, number][] = [
    ['', info],
    ['off', off],
    ['error', error],
    ['warn', warn],
    ['info', info],
    ['debug', debug],
    ['trace', trace],
    ['INFO', info],
    ['Debug', debug],
    [' debug ', debug],
    ['warn,filtermail=debug', debug],
    ['filtermail=debug,warn', debug],
    ['debug,filtermail=warn', warn],
    ['filtermail', trace],
    ['filtermail=off', off],
    ['trace,filtermail=off', off],
    ['hyper=debug,info', info],
    ['info,hyper=trace', info],
    ['info/regex', info],
    ['filtermail=debug/a,b=c', debug],
    ['info,debug', debug],
    ['filtermail=info,filtermail=warn', warn],
  ];
  for (const [filter, expected] of cases) {
    test(JSON.stringify(filter), () => assert.equal(levelsOn(filter), expected));
  }
});

/** A pipe that says EAGAIN when it is full, and what can be read from it now. */
function pipe(): { descriptor: number; read: () => string; closeReader: () => void } {
  const path = join(directory, `pipe${Math.random()}`);
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const descriptor = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  const chunk = Buffer.alloc(1_000_000);
  const read = () => {
    let text = '';
    for (;;) {
      try {
        const count = readSync(reader, chunk);
        if (count === 0) return text;
        text += chunk.toString('latin1', 0, count);
      } catch {
        return text; // nothing more now
      }
    }
  };
  return { descriptor, read, closeReader: () => closeSync(reader) };
}

const turn = () => new Promise(setImmediate);

describe('lines', () => {
  test('one a message, in order, with its level; only those that are on', async () => {
    const { descriptor, read } = pipe();
    const log = openLog('info', descriptor);

    for (const level of ['error', 'warn', 'info', 'debug', 'trace'] as const) log[level](`a ${level}`);
    let text = '';
    for (const end = performance.now() + 2000; !text.includes('INFO') && performance.now() < end; await sleep(5))
      text += read();
    assert.equal(text, 'ERROR a error\nWARN a warn\nINFO a info\n');
  });

  test('whatever a message holds, it is one line of printable ASCII', async () => {
    const { descriptor, read } = pipe();
    const log = openLog('info', descriptor);
    log.info('a\nERROR b\r\0\x1b[2J\x7f\xe4\u20ac\u{1f600}\u2028c');
    log.info('');
    log.flush();
    assert.match(read(), /^INFO a\?ERROR b[?\x20-\x7e]*c\nINFO \n$/);
  });

  test('flush writes them at once', () => {
    const { descriptor, read } = pipe();
    const log = openLog('info', descriptor);
    log.info('one');
    log.warn('two');
    log.flush();
    assert.equal(read(), 'INFO one\nWARN two\n');
    log.flush();
    assert.equal(read(), '');
  });

  test('a process that ends right after a line has written it', () => {
    const source = new URL('../../src/system/log.ts', import.meta.url).href;
    const script = `import { openLog } from '${source}';
      const log = openLog('info');
      process.on('exit', () => log.flush());
      for (let n = 0; n < 5000; n++) log.info('line ' + n);
      process.exit(3);`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'latin1',
    });
    assert.equal(status, 3);
    assert.equal(stderr, Array.from({ length: 5000 }, (_, n) => `INFO line ${n}\n`).join(''));
  });
});

describe('a full pipe', () => {
  test('no line is mangled or lost while 1 MiB or less waits', async () => {
    const { descriptor, read } = pipe();
    const log = openLog('info', descriptor);
    const lines: string[] = [];
    const say = (text: string) => {
      lines.push(`INFO ${text}\n`);
      log.info(text);
    };
    for (let n = 0; n < 5000; n++) say(`line ${n} ${'x'.repeat(n % 150)}`);
    await turn();
    await turn();
    for (let n = 0; n < 100; n++) say(`more ${n}`);
    let text = '';
    for (const end = performance.now() + 5000; !text.includes('more 99\n') && performance.now() < end; await sleep(10))
      text += read();
    assert.ok(text === lines.join(''), 'the lines, in order');
  });

  test('what is more is dropped and counted; later lines come again', async () => {
    const { descriptor, read } = pipe();
    const log = openLog('info', descriptor);
    const total = 40_000;
    for (let n = 0; n < total; n++) {
      log.info(`line ${n} ${'x'.repeat(60)}`);
      if (n % 100 === 0) await turn();
    }
    let text = '';
    const until = async (pattern: RegExp) => {
      for (const end = performance.now() + 5000; !pattern.test(text) && performance.now() < end; await sleep(10))
        text += read();
      assert.ok(pattern.test(text), `${pattern}`);
    };
    await until(/ dropped .*\n/);
    log.info('again');
    await until(/INFO again\n/);
    const seen = [...text.matchAll(/^INFO line (\d+) x{60}$/gm)].map(match => Number(match[1]));
    assert.deepEqual(seen, Array.from(seen.keys()), 'the first ones, whole and in order');
    const dropped = Number(/^WARN (\d+) log lines were dropped/m.exec(text)?.[1]);
    assert.equal(seen.length + dropped, total);
    assert.equal(text.split('\n').length - 1, seen.length + 2, 'and nothing else');
    assert.ok(text.length < 1_500_000);
    assert.doesNotMatch(text, /warning/i);
  });

  test('a message of 3 MB does not get in the way of others', async () => {
    const { descriptor, read } = pipe();
    const log = openLog('info', descriptor);
    log.info('y'.repeat(3_000_000));
    let text = '';
    for (const end = performance.now() + 8000; !text.endsWith('\n') && performance.now() < end; await sleep(1))
      text += read();
    log.info('short');
    log.flush();
    text += read();
    assert.ok(text.endsWith('\nINFO short\n'));
  });
});

test('without a reader nothing is thrown and nothing is kept', async () => {
  const { descriptor, closeReader } = pipe();
  const log = openLog('info', descriptor);
  closeReader();
  for (let n = 0; n < 100; n++) {
    log.info('x'.repeat(1000));
    await turn();
  }
  log.flush();
});

test('a descriptor that is closed throws nothing', async () => {
  const { descriptor } = pipe();
  closeSync(descriptor);
  const log = openLog('info', descriptor);
  log.error('x');
  log.flush();
  await turn();
});
