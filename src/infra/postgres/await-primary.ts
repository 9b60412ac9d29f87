import type { Clock } from '../../lib/machine.ts'
import { patiently } from '../../lib/repeat.ts'
import { connectWithinMs, PrimaryClient } from './primary-client.ts'
import { primaryHosts } from './primary-hosts.ts'
import { isLasting, isStoreAway, messageOf, storeErrors, storeFailure } from './store-failure.ts'

/** The minimum time of the last attempt, so that it can find a better reason than a timeout. */
const minAttemptMs = 1_000

export type AwaitPrimaryOptions = {
  readonly url: string
  readonly schema?: string | undefined
  /** The total time. The last attempt ends with it. */
  readonly patienceMs: number
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** Called once, after the first failed attempt, with the place and the reason. */
  readonly onWait: (why: string) => void
  /** Ends the wait; its reason is thrown. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Resolves when a primary accepts connections. Starts and commands wait here, because a database that starts at the same time, or a busy
 * machine, needs seconds. A failure that waiting cannot fix (a wrong password, an unknown database, a bad certificate) is thrown at once.
 * @throws store_unavailable, with what was tried; the reason of `signal`
 */
export const awaitPrimary = async (options: AwaitPrimaryOptions): Promise<void> => {
  const { url, schema, patienceMs, clock, onWait, signal } = options
  const { text: place, close, ...where } = primaryHosts(url)
  const startedMs = clock.monotonicMs()
  const connectOnce = async (): Promise<void> => {
    const leftMs = startedMs + patienceMs - clock.monotonicMs()
    const client = new PrimaryClient({
      ...where,
      session: { schema },
      application_name: 'cardea waiting',
    })
    const late = () =>
      client.destroy(new Error('timeout: Postgres took the connection and did not reply'))
    const timer = setTimeout(late, Math.max(Math.min(leftMs, connectWithinMs), minAttemptMs))
    const stop = () => client.destroy(new Error('nobody waits any more'))
    signal?.addEventListener('abort', stop, { once: true })
    try {
      signal?.throwIfAborted()
      await client.connect()
      await client.end()
    } catch (error) {
      throw signal?.aborted ? signal.reason : storeFailure(error)
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
    }
  }
  const isPassing = (error: unknown): boolean => isStoreAway(error) && !isLasting(error)
  try {
    await patiently(connectOnce, {
      patienceMs,
      clock,
      isPassing,
      onWait: (error) => onWait(`${place}: ${messageOf(error)}`),
    })
  } catch (error) {
    if (!isPassing(error)) throw error
    const seconds = Math.round(patienceMs / 1000)
    const text = `${place} was tried for ${seconds} s, the last time: ${messageOf(error)}`
    throw storeErrors.error('store_unavailable', { cause: new Error(text, { cause: error }) })
  } finally {
    close()
  }
}
