/** The deadline and the cancellation of one delivery: both count until the message is complete on the wire. */
import type { Clock } from '../system/clock.ts';

/** A connection or request that can be given up. */
export interface Abortable {
  abort(reason: string): void;
}

export type AttemptOptions = Readonly<{
  /** Milliseconds of the clock: no final dot goes out later. */
  deadline: number;
  /** Past the deadline, how many milliseconds the answer to the final dot is worth waiting for. */
  answerGrace: number;
  /** Aborted when nobody wants the delivery any more. */
  gone: AbortSignal;
  clock: Clock;
}>;

export class Attempt {
  /** Octets of the message have gone out, and perhaps with them the memory they were in. */
  dataBegun = false;
  dotSent = false;
  readonly #controller = new AbortController();
  readonly #options: AttemptOptions;
  #user: Abortable | null = null;
  #timer: NodeJS.Timeout;
  #reason = '';

  constructor(options: AttemptOptions) {
    this.#options = options;
    const { deadline, gone, clock } = options;
    const left = deadline - clock();
    this.#timer = setTimeout(() => this.#cancel('the deadline passed'), Math.max(left, 0));
    if (left <= 0) this.#cancel('the deadline passed');
    gone.addEventListener('abort', this.#gone);
    if (gone.aborted) this.#gone();
  }

  /** Aborted when the mail must not be delivered any more. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What is to be given up from now on. */
  use(user: Abortable): void {
    this.#user = user;
    if (this.signal.aborted) user.abort(this.#reason);
  }

  /** Whether the final dot may go out; from then on only the answer can be given up, not the delivery. */
  sendDot(): boolean {
    const left = this.#options.deadline - this.#options.clock();
    if (left <= 0 || this.signal.aborted) return false;
    this.dotSent = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#user?.abort('no answer to the final dot'), left + this.#options.answerGrace);
    return true;
  }

  /** Before the same is tried a second time: whether it is still wanted. What went out the first time counts no more. */
  again(): boolean {
    const left = this.#options.deadline - this.#options.clock();
    if (left <= 0 || this.#options.gone.aborted) return false;
    this.dotSent = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#cancel('the deadline passed'), left);
    return true;
  }

  /** `cause`, or the reason why the delivery was cancelled. */
  whyFailed(cause: string): string {
    return `${this.#reason === '' ? cause : this.#reason}${this.dotSent ? ' after the final dot' : ''}`;
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#options.gone.removeEventListener('abort', this.#gone);
  }

  readonly #gone = () => this.#cancel('the client has gone');

  #cancel(reason: string): void {
    if (this.dotSent || this.#reason !== '') return;
    this.#reason = reason;
    this.#controller.abort();
    this.#user?.abort(reason);
  }
}
