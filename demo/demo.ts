import type { Mode } from './filter.ts';
import type { Letter } from './messages.ts';
import type { Relay } from './relay.ts';
import type { Scene } from './scene.ts';

/** What `npm start` shows of one mode of the filter. */
export interface Demo {
  readonly mode: Mode;
  readonly title: string;
  scenes(relay: Relay): Promise<readonly Scene[]>;
  /** Sends one letter to the filter; the reply that decides. */
  send(relay: Relay, letter: Letter): Promise<string>;
  /** How to send to the filter by hand, line by line. */
  invitation(relay: Relay): Promise<readonly string[]>;
}
