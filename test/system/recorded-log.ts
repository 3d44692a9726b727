import type { Log } from '../../src/system/log.ts';

/** A log at level info that keeps its lines, `LEVEL message`. */
export function recordedLog(keep: (line: string) => void): Log {
  const at = (level: string) => (message: string) => keep(`${level} ${message}`);
  const silent = () => undefined;
  return { error: at('ERROR'), warn: at('WARN'), info: at('INFO'), debug: silent, trace: silent, flush: silent };
}
