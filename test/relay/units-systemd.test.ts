// The units of systemd/, and plain ones as chatmail has them, under a real systemd.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../loopback/eventually.ts';
import { plain } from '../loopback/mail.ts';
import { deliver } from '../loopback/transport-site.ts';
import { Client, sendOne, wire } from './client.ts';
import { author, free, signedReadable, vic } from './incoming.ts';
import { readable, sealed } from './mail.ts';
import { sendOverHttp } from './mxdeliv-client.ts';
import { assertIntact } from './relay.ts';
import { describeUnits, modes, type Scene, type Unit, units } from './units-scene.ts';

const alice = 'alice@one.test';

const ours = (unit: Unit) => readFileSync(new URL(`../../systemd/${unit}.service`, import.meta.url), 'utf8');
const plainly = (unit: Unit) => `[Unit]
Description=Chatmail's own
[Service]
Environment="RUST_LOG=info"
ExecStart=/usr/local/bin/filtermail /usr/local/lib/chatmaild/chatmail.ini ${modes[unit]}
Restart=always
RestartSec=30
User=vmail
[Install]
WantedBy=multi-user.target
`;

describeUnits('the units', ours, scene => {
  itWorks(scene, '/var/cache/filtermail');

  test('systemd could do all that they ask for', async () => {
    const said = await scene().system.run('journalctl', '--output=cat', '--priority=warning', '_PID=1');
    assert.deepEqual(
      said.split('\n').filter(line => line.includes('filtermail')),
      [],
    );
  });

  for (const unit of units) {
    test(`${unit}: what it may do`, async () => {
      const { system } = scene();
      const status = readFileSync(await scene().ofProcess(unit, 'status'), 'latin1');
      for (const line of ['Umask:\t0077', 'NoNewPrivs:\t1', 'Seccomp:\t2', 'CapBnd:\t0+', 'CapEff:\t0+']) {
        assert.match(status, new RegExp(`^${line}$`, 'm'));
      }
      for (const name of ['mnt', 'uts', 'user']) {
        const namespace = readlinkSync(await scene().ofProcess(unit, `ns/${name}`));
        assert.notEqual(namespace, readlinkSync(system.path(`/proc/1/ns/${name}`)));
      }
      const mounts = readFileSync(await scene().ofProcess(unit, 'mountinfo'), 'latin1');
      for (const line of [/ \/ ro,/, / \/usr ro,/, / \/tmp rw,/, / \/var\/cache\/filtermail rw,/]) {
        assert.match(mounts, line);
      }
      assert.match(mounts, / \/proc [^\n]*\bhidepid=invisible,subset=pid$/m);
    });

    test(`${unit}: descriptors`, async () => {
      const limits = readFileSync(await scene().ofProcess(unit, 'limits'), 'latin1');
      const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(limits) ?? [];
      assert.deepEqual([soft, hard], [mostDescriptors(), mostDescriptors()]);
    });

    test(`${unit}: killed, it is back at once`, async () => {
      const { system } = scene();
      const log = scene().log(unit);
      const { MainPID = '' } = await system.show(unit);
      const { mark } = log;
      const killed = process.hrtime.bigint() / 1000n; // the clock of systemd
      await system.systemctl('kill', '--kill-who=main', '--signal=KILL', unit);
      await log.find(/entering serving loop/, mark);
      const shown = await system.becomes(unit, { ActiveState: 'active', NRestarts: '1' });
      assert.notEqual(shown.MainPID, MainPID);
      const gone = Number(BigInt(shown.ExecMainStartTimestampMonotonic ?? '') - killed) / 1000;
      assert.ok(gone < 3000, `${gone} ms, on a busy machine too`);
    });
  }

  test('without its program the start of a unit fails, and says so', async () => {
    const { system } = scene();
    const program = system.path('/usr/local/bin/filtermail');
    await system.systemctl('stop', ...units);
    renameSync(program, `${program}.gone`);
    for (const unit of units) {
      await assert.rejects(system.systemctl('start', unit), /the control process exited with error code/);
      await system.becomes(unit, { ExecMainStatus: '203' });
    }
    renameSync(`${program}.gone`, program);
    await Promise.all(units.map(unit => scene().serve(unit)));
  });

  test('temporary files are its own, but for those that it keeps for the admin', async () => {
    const own = statSync(scene().system.path('/tmp')).ino;
    const seen = async (unit: Unit) => statSync(await scene().ofProcess(unit, 'root/tmp')).ino;
    assert.equal(await seen('filtermail-incoming'), own);
    assert.notEqual(await seen('filtermail'), own);
    assert.notEqual(await seen('filtermail-transport'), own);
  });

  test('outgoing speaks with this machine only, the others with all', async t => {
    const others = Object.values(networkInterfaces()).flatMap(addresses => addresses ?? []);
    const other = others.find(({ internal, family }) => !internal && family === 'IPv4')?.address;
    if (other === undefined) return t.skip('this machine has no address but loopback ones');
    const greeted = async (port: number) => {
      const client = Client.connect(port, other).then(
        client => client.quit(),
        () => 'hung up',
      );
      return await Promise.race([client.then(() => true), sleep(1000, false)]);
    };
    const { ports } = scene();
    assert.equal(await greeted(ports.outgoing), false);
    assert.equal(await greeted(ports.incoming), true);
    assert.equal(await greeted(ports.transport), true);
  });

  stopsAndFails(scene, { ActiveState: 'failed', SubState: 'failed', NRestarts: '0' });
});

describeUnits("units of chatmail's kind", plainly, scene => {
  itWorks(scene, '/var/tmp');
  stopsAndFails(scene, { ActiveState: 'activating', SubState: 'auto-restart' });
});

function itWorks(scene: () => Scene, spool: string): void {
  for (const unit of units) {
    test(`${unit} runs as vmail and is called filtermail`, async () => {
      await scene().system.becomes(unit, { ActiveState: 'active', SubState: 'running', NRestarts: '0' });
      assert.equal(readFileSync(await scene().ofProcess(unit, 'comm'), 'latin1'), 'filtermail\n');
      assert.match(readFileSync(await scene().ofProcess(unit, 'status'), 'latin1'), /^Uid:\t5000\t5000\t5000\t5000$/m);
      assert.deepEqual(
        scene()
          .log(unit)
          .all.filter(line => !/^INFO \w+: entering serving loop \(filtermail [\d.]+\)$/.test(line)),
        [],
        'nothing to complain about',
      );
    });
  }

  test('ss shows filtermail at its ports', async () => {
    const { outgoing, incoming, http, transport } = scene().ports;
    const listening = (await scene().system.run('ss', '-Hltnp')).split('\n');
    for (const port of [outgoing, incoming, http, transport]) {
      const [line = ''] = listening.filter(line => line.includes(` 127.0.0.1:${port} `));
      assert.match(line, /users:\(\("filtermail",pid=\d+,fd=\d+\)\)/, `${port}`);
    }
  });

  test('outgoing mail, of which large messages wait in files', async () => {
    const { ports, sink } = scene();
    const message = sealed({ from: alice, size: 15_000_000 });
    // Two of them are more than is kept in memory. The last octet comes when both have a place.
    const clients = await Promise.all([1, 2].map(() => Client.connect(ports.outgoing)));
    for (const client of clients) {
      await client.command('EHLO client.test');
      assert.match(await client.open({ from: alice, to: ['bob@two.test'], message }), /^354 /);
      await client.write(wire(message).subarray(0, -1));
    }
    const descriptors = await scene().ofProcess('filtermail', 'fd');
    await eventually(() => {
      const files = readdirSync(descriptors).map(name => readlinkSync(`${descriptors}/${name}`));
      assert.ok(
        files.some(file => file.startsWith(`${spool}/`) && file.endsWith('(deleted)')),
        files.join('\n'),
      );
    });
    for (const client of clients) {
      await client.write('\n');
      assert.match(await client.reply(), /^250 /);
      await client.quit();
    }
    const deliveries = sink.take();
    assert.equal(deliveries.length, 2);
    for (const delivery of deliveries) assertIntact(delivery, message);
  });

  test('incoming mail: the keys are looked up, the mailboxes seen', async () => {
    const { ports, system, sink } = scene();
    const mailboxes = system.path('/home/vmail/mail/one.test');
    for (const name of [free, vic]) mkdirSync(join(mailboxes, name));
    writeFileSync(join(mailboxes, vic, 'enforceE2EEincoming'), '');
    const message = await signedReadable();
    assert.match(await sendOne(ports.incoming, { from: author, to: [free], message }), /^250 /);
    assertIntact(sink.take()[0], message);
    assert.match(await sendOne(ports.incoming, { from: author, to: [vic], message }), /^523 /);
    assert.match(await sendOverHttp(ports.http, author, free, message), /^250 /);
    assertIntact(sink.take()[0], message);
  });

  test('incoming mail that nobody vouches for is kept where the admin finds it', async () => {
    const { ports, system } = scene();
    const message = readable({ from: author }, 'hello\r\n');
    const { mark } = scene().log('filtermail-incoming');
    assert.match(await sendOne(ports.incoming, { from: author, to: [free], message }), /^554 5\.7\.1 No DKIM/);
    const line = await scene()
      .log('filtermail-incoming')
      .find(/^WARN .*\/dkim-verify\//, mark);
    const [path = ''] = /\/tmp\/filtermail-rejected\/dkim-verify\/[\w-]+\.eml/.exec(line) ?? [];
    assert.deepEqual(readFileSync(system.path(path)), message);
    const { uid, mode } = statSync(system.path(path));
    assert.deepEqual([uid, mode & 0o777], [5000, 0o600]);
  });

  test('mail to another server', async () => {
    const { ports, remote } = scene();
    const [reply] = await deliver(ports.transport, plain('Hello', alice, ['bob@[127.0.0.1]']));
    assert.equal(reply, '250 2.0.0 OK (SMTP)');
    assert.equal(remote.messages.length, 1);
  });
}

function stopsAndFails(scene: () => Scene, afterFault: Readonly<Record<string, string>>): void {
  for (const unit of units) {
    test(`${unit} stops in order`, async () => {
      await scene().system.systemctl('stop', unit);
      await scene().system.becomes(unit, { ActiveState: 'inactive', Result: 'success', ExecMainStatus: '0' });
    });
  }

  test('what is wrong with chatmail.ini is said once', async () => {
    const { system } = scene();
    const logs = units.map(unit => ({ log: scene().log(unit), mark: scene().log(unit).mark }));
    scene().configure({ max_message_size: 'much' });
    await system.systemctl('start', ...units);
    for (const unit of units) await system.becomes(unit, { Result: 'exit-code', ExecMainStatus: '78' });
    for (const { log, mark } of logs) await log.find(/max_message_size/, mark);
    await sleep(500); // enough for another start
    for (const { log, mark } of logs) {
      // What it logged before, with a level, may come late.
      const lines = log.since(mark).filter(line => !/^(?:INFO|WARN) /.test(line));
      assert.equal(lines.length, 1, lines.join('\n'));
    }
    for (const unit of units) await system.becomes(unit, afterFault);
  });
}

/** What a unit that asks for 524288 gets: more than it has itself, only a root that may can give. */
function mostDescriptors(): string {
  const mayRaise = 1n << 24n; // CAP_SYS_RESOURCE
  const [, capabilities = ''] = /^CapEff:\t(\w+)$/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
  const [, own = ''] = /^Max open files +\d+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
  return `${BigInt(`0x${capabilities}`) & mayRaise ? 524_288 : Math.min(524_288, Number(own))}`;
}
