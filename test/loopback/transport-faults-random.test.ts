// Nothing is lost: remotes refuse, break off, dawdle and talk nonsense at random points, and what the client hears is what they said.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { setTimeout as passed } from 'node:timers/promises';
import fc from 'fast-check';
import { type Answer, cut, type Said } from '../relay/transport-remote.ts';
import { letter, open, World } from '../relay/transport-world.ts';
import { eventually } from './eventually.ts';

const hosts = ['h0.test', 'h1.test', 'h2.test'];
let world: World;
let count = 0;
let descriptors = 0;

before(async () => {
  world = await World.start({ domains: [...hosts, 'early.test'], https: true });
  descriptors = world.filter.descriptors().length;
});

type Fault =
  | Readonly<{ kind: 'say'; text: string }>
  | Readonly<{ kind: 'cut' | 'last words' | 'none' }>
  | Readonly<{ kind: 'dawdle'; time: number }>;

const refusals = [
  '450 4.2.0 later',
  '550 5.1.1 nobody',
  '421 4.3.2 closing',
  '552 5.2.2 full',
  '400-4.0.0 a\r\n400 4.0.0 b',
];
const nonsense = [
  'hello',
  '99',
  '999 what',
  '150 wait',
  '250-never\r\n550 ends',
  '\0\x01\xff',
  '354 here',
  '220 there',
  '300 x',
];
const pages = [
  '400 550 5.1.1 nobody',
  '400 451 4.3.0 later',
  '413 552 too large',
  '500 oops',
  '404 no',
  '200 <html>',
  '200 OK',
  '200 ',
  '503 451 x',
  '204 ',
];

const common: fc.WeightedArbitrary<Fault>[] = [
  { weight: 4, arbitrary: fc.constant({ kind: 'none' }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'cut' }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'last words' }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('dawdle'), time: fc.integer({ min: 1, max: 25 }) }) },
];
const say = (texts: readonly string[]) =>
  fc.record({ kind: fc.constant('say' as const), text: fc.constantFrom(...texts) });
const smtpFault = fc.oneof(...common, { weight: 2, arbitrary: say(refusals) }, { weight: 1, arbitrary: say(nonsense) });
const httpsFault = fc.oneof(...common, { weight: 3, arbitrary: say(pages) });
const early = fc.oneof(...common, { weight: 3, arbitrary: say(pages.filter(page => !/^2\d\d (?:OK)?$/.test(page))) });

const smtpVerbs = ['connect', 'EHLO', 'STARTTLS', 'MAIL', 'RCPT', 'DATA', 'message'] as const;

/** What a host does the first, second ... time that it comes to a point. */
type Plan = Readonly<Record<string, readonly Fault[] | undefined>>;

const plan: fc.Arbitrary<Plan> = fc.record(
  Object.fromEntries([
    ...smtpVerbs.map(verb => [`SMTP ${verb}`, fc.array(smtpFault, { maxLength: 3 })]),
    ['HTTPS POST', fc.array(early, { maxLength: 2 })],
    ['HTTPS message', fc.array(httpsFault, { maxLength: 2 })],
  ]),
  { requiredKeys: [] },
);

class Script {
  readonly #plans: readonly Plan[];
  readonly #times = new Map<string, number>();

  constructor(plans: readonly Plan[]) {
    this.#plans = plans;
  }

  async answer(said: Said): Promise<Answer> {
    const host = hosts.findIndex(name => world.isAt(name, said));
    const point = `${said.carrier} ${said.verb}`;
    const times = this.#times.get(`${host} ${point}`) ?? 0;
    this.#times.set(`${host} ${point}`, times + 1);
    const fault = this.#plans[host]?.[point]?.[times] ?? { kind: 'none' };
    if (fault.kind === 'say') return fault.text;
    if (fault.kind === 'cut') return cut;
    if (fault.kind === 'last words') setImmediate(() => setImmediate(() => said.socket.end()));
    if (fault.kind === 'dawdle') await passed(fault.time);
    return undefined;
  }
}

const letters = fc.record({
  plans: fc.tuple(plan, plan, plan),
  /** The host of each recipient. */
  to: fc.array(fc.integer({ min: 0, max: hosts.length - 1 }), { minLength: 1, maxLength: 6 }),
  size: fc.constantFrom(300, 300, 300, 9000, 400_000),
});

test('a recipient has exactly one answer, and it is 2xx when and only when a remote said so', async t => {
  const kinds = new Map<string, number>();
  const property = fc.asyncProperty(letters, async ({ plans, to, size }) => {
    const script = new Script(plans);
    world.remote.answer = said => script.answer(said);
    // Domains of its own, so that none is closed because of what was before; the hosts stay, with their connections.
    const run = ++count;
    for (const [n, host] of hosts.entries())
      world.world.dns.mx(`run${run}-${n}.test`, [{ preference: 1, exchange: `mx.${host}` }]);
    const recipients = to.map((host, n) => `user${n}@run${run}-${host}.test`);
    const client = await world.lmtp();
    const opened = await open(client, recipients);
    assert.ok(
      opened.every(reply => /^(?:250|354) /.test(reply)),
      opened.join('\n'),
    );
    void client.write(letter(size));
    const replies: string[] = [];
    for (const _ of recipients) replies.push(await client.reply());
    assert.match(await client.ask('VRFY end'), /^252 /, 'no answer too many');
    await client.quit();
    const accepted = new Set(world.remote.taken.splice(0).flatMap(taken => taken.to));
    for (const [n, recipient] of recipients.entries()) {
      const reply = replies[n] ?? '';
      assert.match(reply, /^(?:250 2|4\d\d[ -]|5\d\d[ -])/);
      const isSent = reply.startsWith('250 ');
      if (isSent !== accepted.has(recipient)) await world.filter.log.find(new RegExp(`to run${run}-${to[n]}`));
      const told = world.filter.log.all.filter(line => line.includes(`to run${run}-`)).join('\n');
      assert.equal(isSent, accepted.has(recipient), `${recipient}: ${reply}\n${told}`);
      const kind = reply.slice(0, 3);
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
  });
  await fc.assert(property, { numRuns: 400, endOnFailure: true });
  t.diagnostic([...kinds].map(([code, times]) => `${code}: ${times}`).join(', '));
  assert.ok((kinds.get('250') ?? 0) > 100 && kinds.size > 3, 'all kinds of answers');
});

test('a host that says 200 before it has the whole message has not taken it', async () => {
  world.remote.answer = said => (said.verb === 'POST' ? '200 OK' : undefined);
  const client = await world.lmtp();
  await open(client, ['you@early.test']);
  void client.write(letter(12_000_000));
  const reply = await client.reply();
  await client.quit();
  assert.equal(reply, '250 2.0.0 OK (SMTP)');
});

test('after all of it, nothing stays behind', async () => {
  world.remote.answer = () => undefined;
  world.remote.hangUp();
  await eventually(() =>
    assert.ok(world.filter.descriptors().length <= descriptors, world.filter.descriptors().join('\n')),
  );
  assert.deepEqual(
    world.filter.log.all.filter(line => line.startsWith('ERROR ')),
    [],
  );
  await world.filter.stop();
});
