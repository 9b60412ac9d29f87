import type { Sql } from '../infra/postgres/database.ts'
import { type Listening, listen } from '../infra/postgres/listen.ts'
import { newId } from '../lib/id.ts'
import { fractionOf, type Random } from '../lib/random.ts'
import type { RevocationNotices } from './revocation-notices.ts'

export type NoticesOptions = {
  readonly sql: Sql
  readonly url: string
  readonly random: Random
  readonly report: (error: unknown, what: string) => void
}

const channel = 'cardea_revocations'

/**
 * A statement of its own after the commit, not part of the transaction: committing with a notice takes a lock of the whole cluster.
 */
const notify = { name: 'revocation_notify', text: `SELECT pg_notify('${channel}', $1)` }

export const postgresRevocationNotices = (options: NoticesOptions): RevocationNotices => {
  const { sql, random, report } = options
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
        .query(notify, [self])
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
