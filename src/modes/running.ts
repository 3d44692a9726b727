/** What `main` knows of a mode that has started. */
export interface Running {
  /** Stops accepting, lets transactions end (bounded), gives back what was open. */
  stop(): Promise<void>;
}

/** How long transactions may take to end once the process is told to stop. */
export const stopGrace = 10_000;
