import type { Sql } from '../infra/postgres/database.ts'
import { type Listening, listen } from '../infra/postgres/listen.ts'
import { channelIn } from '../infra/postgres/own-schema.ts'
import { fractionOf, newId, type Random } from '../lib/machine.ts'

/** Word from instance to instance that something was revoked. It may get lost: nobody relies on it. */
export type RevocationNotifier = {
  /** Tells the other instances. Returns at once; what is asked for while a word is on its way is said in one more. */
  readonly announce: () => void
  /** Begins to hear them, and goes on through breaks of the connection; the callback runs for each word, each break, each new connection. */
  readonly listen: (onNotice: () => void) => void
  /** Lets the word under way arrive, then hears no more. */
  readonly close: () => Promise<void>
}

export type NotifierOptions = {
  readonly sql: Sql
  readonly url: string
  /** Of the tables; installations in other schemas of the database hear nothing. */
  readonly schema?: string | undefined
  readonly random: Random
  readonly report: (error: unknown, what: string) => void
}

/**
 * A statement of its own after the commit, not part of the transaction: committing with a notice takes a lock of the whole cluster.
 */
const notify = { name: 'revocation_notify', text: 'SELECT pg_notify($1, $2)' }

export const postgresRevocationNotifier = (options: NotifierOptions): RevocationNotifier => {
  const { sql, schema, random, report } = options
  const channel = channelIn('cardea_revocations', schema)
  // Says nothing to others, and lets this instance ignore what it said itself.
  const self = newId(random)
  let isUnderWay = false
  let isOneMoreDue = false
  let said: Promise<void> = Promise.resolve()
  let listening: Listening | undefined

  const say = async (): Promise<void> => {
    isUnderWay = true
    do {
      isOneMoreDue = false
      await sql
        .query(notify, [channel, self])
        .catch((error: unknown) => report(error, 'other instances were not told of a revocation'))
    } while (isOneMoreDue)
    isUnderWay = false
  }

  return {
    announce: () => {
      if (isUnderWay) isOneMoreDue = true
      else said = say()
    },
    listen: (onNotice) => {
      listening = listen({
        ...options,
        channel,
        onNotice: (payload) => {
          if (payload !== self) onNotice()
        },
        onConnect: onNotice,
        onError: (error) => {
          onNotice()
          report(error, 'revocations of other instances are noticed later')
        },
        fraction: fractionOf(random),
      })
    },
    close: async () => {
      await Promise.all([said, listening?.stop()])
    },
  }
}
