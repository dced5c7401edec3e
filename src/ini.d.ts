declare module 'ini' {
  /** @returns sections by name, and what stands above the first one. */
  export function parse(text: string): Record<string, unknown>;
}
