/** Texts by their paths in a host. */
export type Files = Readonly<Record<string, string>>;
