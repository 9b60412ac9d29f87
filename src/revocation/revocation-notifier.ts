import type { Sql } from '../infra/postgres/database.ts'
import { type Listening, listen } from '../infra/postgres/listen.ts'
import { channelIn } from '../infra/postgres/own-schema.ts'
import { fractionOf, newId, type Random } from '../lib/machine.ts'

/** Notifies other processes that something was revoked. A notification may get lost; nothing relies on it. */
export type RevocationNotifier = {
  /** Notifies the other processes. Returns at once. Calls while a notification is being sent are combined into one more. */
  readonly announce: () => void
  /**
   * Starts to listen, and continues after broken connections. The callback runs for each notification, each break and each new connection.
   */
  readonly listen: (onNotice: () => void) => void
  /** Lets the current notification finish, then stops listening. */
  readonly close: () => Promise<void>
}

export type NotifierOptions = {
  readonly sql: Sql
  readonly url: string
  /** The schema of the tables. Installations in other schemas of the database are separate. */
  readonly schema?: string | undefined
  readonly random: Random
  readonly report: (error: unknown, what: string) => void
}

/** A separate statement after the commit, not part of the transaction: a commit with a notification takes a lock on the whole cluster. */
const notify = { name: 'revocation_notify', text: 'SELECT pg_notify($1, $2)' }

export const postgresRevocationNotifier = (options: NotifierOptions): RevocationNotifier => {
  const { sql, schema, random, report } = options
  const channel = channelIn('cardea_revocations', schema)
  // Meaningless to others. This process uses it to ignore its own notifications.
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
