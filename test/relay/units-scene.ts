// The three units under a real systemd, and what is around them: Postfix's part, a name server, a server elsewhere.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Authority } from '../peers/authority.ts';
import { DnsServer } from '../peers/dns-server.ts';
import { freePorts } from '../peers/ports.ts';
import { TlsSmtpServer } from '../peers/tls-smtp-server.ts';
import { signer } from './incoming.ts';
import type { Lines } from './lines.ts';
import { Sink } from './sink.ts';
import { System, whyNoSystemd } from './units-system.ts';

export const modes = {
  filtermail: 'outgoing',
  'filtermail-incoming': 'incoming',
  'filtermail-transport': 'transport',
} as const;
export type Unit = keyof typeof modes;
export const units = Object.keys(modes) as Unit[];

const ports = await freePorts('outgoing', 'incoming', 'http', 'transport', 'remote', 'nobody');

export class Scene {
  readonly system: System;
  readonly sink: Sink;
  readonly remote: TlsSmtpServer;
  readonly ports = ports;
  readonly #dns: DnsServer;
  readonly #logs: ReadonlyMap<Unit, Lines>;

  private constructor(system: System, sink: Sink, dns: DnsServer, remote: TlsSmtpServer) {
    this.system = system;
    this.sink = sink;
    this.remote = remote;
    this.#dns = dns;
    this.#logs = new Map(units.map(unit => [unit, system.journal(unit)]));
  }

  /** The units are installed, and none is started. */
  static async set(started: AsyncDisposableStack, unitFile: (unit: Unit) => string): Promise<Scene> {
    const system = started.use(await System.boot());
    const sink = started.adopt(await Sink.start(), sink => sink.stop());
    const dns = started.use(await DnsServer.listen());
    dns.txt(signer.name, [signer.record]);
    using authority = new Authority();
    const certificate = authority.issue(['two.test']);
    const remote = await TlsSmtpServer.at('127.0.0.1', ports.remote, { certificate });
    started.defer(() => remote.close());
    const scene = new Scene(system, sink, dns, remote);
    scene.configure();
    for (const unit of units) system.write(`/etc/systemd/system/${unit}.service`, unitFile(unit));
    await system.systemctl('daemon-reload');
    return scene;
  }

  /** Writes chatmail.ini. What is not named has its default. */
  configure(more: Readonly<Record<string, string | number>> = {}): void {
    const keys = {
      mail_domain: 'one.test',
      filtermail_smtp_port: ports.outgoing,
      filtermail_smtp_port_incoming: ports.incoming,
      filtermail_http_port_incoming: ports.http,
      filtermail_lmtp_port_transport: ports.transport,
      postfix_reinject_port: this.sink.port,
      postfix_reinject_port_incoming: this.sink.port,
      filtermail_dns_servers: this.#dns.address,
      filtermail_remote_smtp_port: ports.remote,
      filtermail_remote_https_port: ports.nobody,
      ...more,
    };
    const lines = Object.entries(keys).map(([key, value]) => `${key} = ${value}\n`);
    this.system.write('/usr/local/lib/chatmaild/chatmail.ini', `[params]\n${lines.join('')}`);
  }

  log(unit: Unit): Lines {
    return this.#logs.get(unit) ?? assert.fail(unit);
  }

  /** Starts a unit, and waits until it serves. */
  async serve(unit: Unit): Promise<void> {
    const { mark } = this.log(unit);
    await this.system.systemctl('start', unit);
    await this.log(unit).find(/entering serving loop/, mark);
  }

  /** A file in /proc of the unit's main process. */
  async ofProcess(unit: Unit, name: string): Promise<string> {
    const { MainPID = '' } = await this.system.show(unit);
    return this.system.path(`/proc/${MainPID}/${name}`);
  }
}

/** Tests of units in a scene of their own. Where there can be none they are skipped, in CI that is a failure. */
export function describeUnits(
  name: string,
  unitFile: (unit: Unit) => string,
  tests: (scene: () => Scene) => void,
): void {
  const reason = whyNoSystemd();
  if (reason && process.env.CI === 'true') {
    test(name, () => assert.fail(reason));
    return;
  }
  describe(name, { skip: reason ?? false }, () => {
    const started = new AsyncDisposableStack();
    let scene: Scene | undefined;
    before(async () => {
      scene = await Scene.set(started, unitFile);
      await Promise.all(units.map(scene.serve, scene));
    });
    after(() => started.disposeAsync());
    tests(() => scene ?? assert.fail('there is no scene'));
  });
}
