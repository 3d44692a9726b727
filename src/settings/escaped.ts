const MOST_UNITS = 60;

/** Foreign text as a quoted piece of one ASCII line, at most 60 UTF-16 units of it: what was cut off becomes `...`. */
export function escaped(text: string): string {
  const json = JSON.stringify(text.slice(0, MOST_UNITS));
  const ascii = json.replace(/[\x7f-\uffff]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return text.length > MOST_UNITS ? `${ascii}...` : ascii;
}
