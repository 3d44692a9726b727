import type { Mode } from './filter.ts';
import type { Relay } from './relay.ts';
import type { Scene } from './scene.ts';

/** What `npm start` shows of one mode of the filter. */
export interface Demo {
  readonly mode: Mode;
  readonly title: string;
  scenes(relay: Relay): Promise<readonly Scene[]>;
  /** How to send to the filter by hand, line by line. */
  invitation(relay: Relay): Promise<readonly string[]>;
}
