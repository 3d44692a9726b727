// The package has no types of its own; this is what the demo uses of it.
declare module 'ini' {
  export function stringify(sections: object, options: { whitespace: boolean }): string;
}
