/** One unit of work, one transaction: all of it is committed when the call resolves, none of it when it throws. */
export type InTransaction<Stores> = <T>(work: (stores: Stores) => Promise<T>) => Promise<T>
