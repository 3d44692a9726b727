// The remote servers of the transport rows: 1,000 domains with HTTPS and 1,000 without, each with an MX of its own name, and one sink
// process behind all these names.

import { fileURLToPath } from 'node:url';
import { Authority, type Certificate } from '../peers/authority.ts';
import type { DnsServer } from '../peers/dns-server.ts';
import { freePort } from '../peers/ports.ts';
import { Program } from './processes.ts';

export type Carrier = 'HTTPS' | 'SMTP';

/** The end of domains whose mail goes by that carrier; the sink knows the second. */
const zones = { HTTPS: 'https.test', SMTP: 'smtp.test' } as const;
const domainsEach = 1000;

const sinkScript = fileURLToPath(new URL('tls-sink.ts', import.meta.url));

interface Trusted {
  readonly authority: Authority;
  readonly certificate: Certificate;
}

export class Remotes {
  /** Made for the first row that needs one: it takes openssl. */
  #trusted: Trusted | undefined;

  constructor(dns: DnsServer) {
    for (const zone of Object.values(zones)) {
      for (let number = 0; number < domainsEach; number++) {
        dns.mx(`relay${number}.${zone}`, [{ preference: 10, exchange: `mx${number}.${zone}` }]);
        dns.a(`mx${number}.${zone}`, ['127.0.0.1']);
      }
    }
  }

  /** For `NODE_EXTRA_CA_CERTS`. */
  get authorityPath(): string {
    return this.#trust().authority.path;
  }

  startSink(directory: string): Promise<TlsSink> {
    return TlsSink.start(this.#trust().certificate, directory);
  }

  #trust(): Trusted {
    if (this.#trusted === undefined) {
      const authority = new Authority();
      process.on('exit', () => authority[Symbol.dispose]());
      const certificate = authority.issue(Object.values(zones).map(zone => `*.${zone}`));
      this.#trusted = { authority, certificate };
    }
    return this.#trusted;
  }
}

/** The domain that message number so and so goes to: the carriers by turns, each with its part of `domains`. */
export function domainOf(number: number, carriers: readonly Carrier[], domains: number): string {
  const carrier = carriers[number % carriers.length] ?? 'SMTP';
  const turn = Math.floor(number / carriers.length) % Math.ceil(domains / carriers.length);
  return `relay${turn}.${zones[carrier]}`;
}

export class TlsSink implements AsyncDisposable {
  readonly smtpPort: number;
  readonly httpsPort: number;
  readonly #program: Program;

  private constructor(program: Program, smtpPort: number, httpsPort: number) {
    this.#program = program;
    this.smtpPort = smtpPort;
    this.httpsPort = httpsPort;
  }

  static async start({ keyPath, certPath }: Certificate, directory: string): Promise<TlsSink> {
    const [smtpPort, httpsPort] = [await freePort(), await freePort()];
    const args = [sinkScript, `${smtpPort}`, `${httpsPort}`, keyPath, certPath];
    const program = new Program(process.execPath, args, `${directory}/tls-sink.log`);
    await program.untilListening(smtpPort);
    await program.untilListening(httpsPort);
    return new TlsSink(program, smtpPort, httpsPort);
  }

  /** Ends the sink; throws unless exactly so many messages have arrived. */
  async confirm(expected: number): Promise<void> {
    await this[Symbol.asyncDispose]();
    const took = Number(/^took (\d+)$/m.exec(this.#program.said())?.[1]);
    if (took !== expected) throw this.#program.failure(`got ${took} messages where ${expected} were sent`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#program[Symbol.asyncDispose]();
  }
}
