import { postgresHosts } from '../../lib/postgres-url.ts'
import { shareCurrentRead } from '../../lib/share-reads.ts'
import { NotPrimary, type Place, PrimaryClient } from './primary-client.ts'
import { isLasting, messageOf } from './store-failure.ts'

/** The hosts of a URL. One of several is the primary, and another one after a fail-over. */
export type PrimaryHosts = {
  /** For the driver: the same URL with the first host only. */
  readonly connectionString: string
  /** Finds the primary; parallel calls share the result. Undefined for a single host. */
  readonly findPlace: (() => Promise<Place>) | undefined
  /** For messages, without user and password. */
  readonly text: string
  /** Cancels running attempts. */
  readonly close: () => void
}

/**
 * If a host does not reply for this long, the next one is tried as well, and the slow one is still waited for. As with the addresses of a
 * name (`primary-client.ts`), a host that drops packets delays a new connection by this time.
 */
const eachHostMs = 1_000

type Host = { readonly url: string; readonly place: string }

type Failure = Host & { readonly error: unknown }

/** One error for all: that none is a primary if a server said so, otherwise one that waiting may fix. */
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
 * Tries the hosts in turn until one is a primary. The next one starts when one fails, or when none has replied for a moment. Each has the
 * full time of an attempt to connect. Two primaries would be a fault of the cluster; then the first in the list is likely to win.
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
  /** The last primary is tried first the next time. */
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
