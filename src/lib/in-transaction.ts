/** Runs `work` in one transaction: everything is committed when the call resolves, nothing when it throws. */
export type InTransaction<Stores> = <T>(work: (stores: Stores) => Promise<T>) => Promise<T>
