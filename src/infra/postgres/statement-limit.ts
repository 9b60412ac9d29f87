/** Enough of a connection to give it up. */
type Connection = { readonly end: () => Promise<void> }

export type StatementLimit = {
  readonly begin: (connection: Connection) => void
  readonly finish: (connection: Connection) => void
  readonly stop: () => void
}

/** A statement is given up at the limit, or as much later as one check is from the next. */
const checksWithin = 10

/**
 * Closes connections that owe an answer for longer than `limitMs`, which fails the statement under way. The server keeps its own
 * limit; this one is for a server that no longer answers at all.
 *
 * One timer for all. The driver's `query_timeout` takes one for each statement, and keeps the statement, with the request that asked,
 * until the next collection of all memory: a quarter more time and twice the memory for a refresh. Checks are counted, not time, so
 * that a pause of the whole process gives nothing up that has been answered meanwhile.
 */
export const limitStatements = (limitMs: number): StatementLimit => {
  const owing = new Map<Connection, number>()
  const check = (): void => {
    for (const [connection, checks] of owing) {
      if (checks < checksWithin) {
        owing.set(connection, checks + 1)
      } else {
        owing.delete(connection)
        // With a statement under way this destroys the socket: nobody is asked, so there is nothing to fail.
        void connection.end()
      }
    }
  }
  const timer = setInterval(check, limitMs / checksWithin)
  timer.unref()
  return {
    begin: (connection) => owing.set(connection, 0),
    finish: (connection) => owing.delete(connection),
    stop: () => clearInterval(timer),
  }
}
