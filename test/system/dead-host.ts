/** An address of this machine that never answers: a listener that accepts nothing and whose queue is full, so that the kernel drops SYNs. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as passed } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

const listener = `
  const { createServer } = require('node:net');
  const { parentPort, workerData } = require('node:worker_threads');
  const { address, port, end } = workerData;
  const server = createServer().listen({ host: address, port, backlog: 1 }, () => {
    parentPort.postMessage('listening');
    Atomics.wait(end, 0, 0);
    process.exit();
  });`;

/** Milliseconds in which the kernel takes a connection while there is room in the queue. */
const prompt = 50;

export class DeadHost implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #queued: readonly Socket[];

  readonly #end: Int32Array<SharedArrayBuffer>;

  private constructor(worker: Worker, queued: readonly Socket[], end: Int32Array<SharedArrayBuffer>) {
    this.#worker = worker;
    this.#queued = queued;
    this.#end = end;
  }

  static async at(address: string, port: number): Promise<DeadHost> {
    const end = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(listener, { eval: true, workerData: { address, port, end } });
    await once(worker, 'message');
    const queued: Socket[] = [];
    for (let full = false; !full; ) {
      const socket = connect({ host: address, port }).on('error', () => null);
      queued.push(socket);
      full = await Promise.race([once(socket, 'connect').then(() => false), passed(prompt, true)]);
    }
    return new DeadHost(worker, queued, end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#queued) socket.destroy();
    Atomics.notify(this.#end, 0);
    await once(this.#worker, 'exit');
  }
}
