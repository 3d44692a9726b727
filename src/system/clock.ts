/** Milliseconds of a monotonic clock. */
export type Clock = () => number;

export const monotonicClock: Clock = () => performance.now();
