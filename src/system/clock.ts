/** Milliseconds. */
export type Clock = () => number;

export const monotonicClock: Clock = () => performance.now();

/** Since 1970; it may be set back. */
export const wallClock: Clock = () => Date.now();
