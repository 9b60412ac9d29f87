/** The package has no types of its own. */
declare module 'cluster-key-slot' {
  /** The hash slot of a key, or of its hash tag. */
  const slotOf: (key: string) => number
  export = slotOf
}
