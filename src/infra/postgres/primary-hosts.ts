import { postgresHosts } from '../../lib/postgres-url.ts'
import { shareCurrentRead } from '../../lib/share-reads.ts'
import { NotPrimary, type Place, PrimaryClient } from './primary-client.ts'
import { isLasting, messageOf } from './store-failure.ts'

/** Where a URL leads. With several hosts the primary is one of them, and another one after a fail-over. */
export type PrimaryHosts = {
  /** What the driver is given: the same URL with the first host alone. */
  readonly connectionString: string
  /** Looks for the primary; who asks at the same time gets the same reply. None: there is one host, and nothing to find. */
  readonly findPlace: (() => Promise<Place>) | undefined
  /** For people, without user and password. */
  readonly text: string
  /** Gives up what is under way. */
  readonly close: () => void
}

/**
 * A host that does not reply for this long is left aside, not given up: the next one is asked as well. As with the addresses of a name
 * (`primary-client.ts`), a host that drops packets costs a new connection this long, and a slow one is still waited for.
 */
const eachHostMs = 1_000

type Host = { readonly url: string; readonly place: string }

type Failure = Host & { readonly error: unknown }

/** One error for all: that none is a primary, if a server said so, else one that waiting may fix. */
const failureOf = (failures: readonly Failure[]): unknown => {
  const first = (test: (error: unknown) => boolean) => failures.find(({ error }) => test(error))
  const chosen =
    first((error) => error instanceof NotPrimary) ??
    first((error) => !isLasting(error)) ??
    failures[0]
  const text = failures.map(({ place, error }) => `${place}: ${messageOf(error)}`).join('; ')
  if (chosen?.error instanceof Error) chosen.error.message = text
  return chosen?.error
}

type Found = { readonly host: Host; readonly place: Place }

/**
 * Asks the hosts in turn until one is a primary. The next one begins when one fails, or when none has replied for a moment. Each has the
 * full time of an attempt to connect. Two primaries would be a fault of the cluster; the first in the list is then likely to win.
 */
const race = (hosts: readonly Host[], scout: (host: Host) => Promise<Place>): Promise<Found> =>
  new Promise((resolve, reject) => {
    const waiting = [...hosts]
    const failures: Failure[] = []
    let isOver = false
    let timer: NodeJS.Timeout | undefined
    const next = (): void => {
      clearTimeout(timer)
      const host = waiting.shift()
      if (host === undefined || isOver) return
      timer = setTimeout(next, eachHostMs)
      scout(host).then(
        (place) => {
          isOver = true
          clearTimeout(timer)
          resolve({ host, place })
        },
        (error: unknown) => {
          failures.push({ ...host, error })
          if (failures.length === hosts.length) reject(failureOf(failures))
          next()
        },
      )
    }
    next()
  })

/** @throws PostgresUrlProblem */
export const primaryHosts = (url: string): PrimaryHosts => {
  const urls = postgresHosts(url)
  const hosts = urls.map(
    (one): Host => ({ url: one, place: new PrimaryClient({ connectionString: one }).place }),
  )
  const scouts = new Set<PrimaryClient>()
  /** The one that was the primary comes first the next time. */
  let order: readonly Host[] = hosts
  let isClosed = false

  const dismiss = (): void => {
    for (const client of scouts) client.destroy()
  }
  const scout = async ({ url: connectionString }: Host): Promise<Place> => {
    if (isClosed) throw new Error('Client was closed')
    const client = new PrimaryClient({
      connectionString,
      application_name: 'cardea looking for the primary',
    })
    scouts.add(client)
    try {
      const { host, port } = await client.connect()
      return { host, port }
    } finally {
      scouts.delete(client)
      client.end().catch(() => undefined)
    }
  }
  const find = async (): Promise<Place> => {
    try {
      const { host, place } = await race(order, scout)
      order = [host, ...hosts.filter((one) => one !== host)]
      return place
    } finally {
      dismiss()
    }
  }
  return {
    connectionString: urls[0],
    findPlace: urls.length === 1 ? undefined : shareCurrentRead(find),
    text: hosts.map(({ place }) => place).join(', '),
    close: () => {
      isClosed = true
      dismiss()
    },
  }
}
