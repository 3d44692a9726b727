import type { Mode } from './filter.ts';
import type { Scene } from './scene.ts';
import type { World } from './world.ts';

/** What `npm start` shows of one mode of the filter. */
export interface Demo {
  readonly mode: Mode;
  readonly title: string;
  /** Heads the column of what was found after the replies. */
  readonly arrived: string;
  scenes(world: World): Promise<readonly Scene[]>;
  /** How to send to the filter by hand, line by line. */
  invitation(world: World): Promise<readonly string[]>;
}
