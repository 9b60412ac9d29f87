import { setTimeout as pause } from 'node:timers/promises'
import { connectWithinMs, PrimaryClient } from './primary-client.ts'
import { type PrimaryHosts, primaryHosts } from './primary-hosts.ts'
import { storeFailure } from './store-failure.ts'

export type ListenOptions = {
  readonly url: string
  /** A plain lower-case name. It becomes part of a statement. */
  readonly channel: string
  readonly onNotice: (payload: string) => void
  /** Called for each new connection: notifications sent before are lost. */
  readonly onConnect: () => void
  /** Called once per outage, not for every retry. */
  readonly onError: (error: unknown) => void
  /** A number in [0, 1). */
  readonly fraction: () => number
}

export type Listening = {
  /** Resolves when the connection is closed. */
  readonly stop: () => Promise<void>
}

const shortestPauseMs = 100
const longestPauseMs = 5_000
const goodbyeMs = 500

/** Doubles up to the maximum, minus a random part of up to half, so that processes do not return in step. */
const pauseMs = (attempt: number, fraction: () => number): number =>
  Math.min(shortestPauseMs * 2 ** Math.min(attempt, 10), longestPauseMs) * (1 - fraction() / 2)

const plainName = /^[a-z0-9_]{1,63}$/

type Where = Pick<PrimaryHosts, 'connectionString' | 'findPlace'>

/** Runs one connection until it breaks. Rejects with the cause, or resolves when the signal ends it. */
const listenOnce = async (
  { channel, onNotice, onConnect }: ListenOptions,
  where: Where,
  signal: AbortSignal,
): Promise<void> => {
  const client = new PrimaryClient({
    ...where,
    // No request waits for this one statement, so it may take as long as the attempt to connect.
    query_timeout: connectWithinMs,
    application_name: 'cardea listening',
    // Nothing is sent on this connection, so only this detects a lost peer.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  })
  const broken = new Promise<never>((_resolve, reject) => {
    client.on('error', reject)
    client.on('end', () => reject(new Error('the connection was closed')))
  })
  let end: () => void = () => undefined
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  signal.addEventListener('abort', end)
  client.on('notification', ({ payload }) => onNotice(payload ?? ''))
  const listening = async (): Promise<void> => {
    await client.connect()
    await client.query(`LISTEN ${channel}`)
    onConnect()
    await broken
  }
  try {
    await Promise.race([listening(), broken, ended])
  } finally {
    signal.removeEventListener('abort', end)
    const goodbye = client.end().catch(() => undefined)
    await Promise.race([goodbye, pause(goodbyeMs, undefined, { ref: false })])
    // A frozen server never replies to a termination message.
    client.destroy()
  }
}

/**
 * Receives the notifications of a channel, and reconnects whenever the connection breaks. A pooler in transaction mode accepts the
 * statement but forwards no notification, so callers must work without them.
 * @throws {TypeError} for a channel that is not a plain name
 */
export const listen = (options: ListenOptions): Listening => {
  if (!plainName.test(options.channel)) throw new TypeError('a channel is a plain lower-case name')
  const { connectionString, findPlace, close } = primaryHosts(options.url)
  const where = { connectionString, findPlace }
  const stopping = new AbortController()
  const { signal } = stopping
  let attempt = 0
  const onConnect = (): void => {
    attempt = 0
    options.onConnect()
  }
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await listenOnce({ ...options, onConnect }, where, signal)
      } catch (error) {
        if (attempt === 0 && !signal.aborted) options.onError(storeFailure(error))
      }
      attempt += 1
      const delayMs = pauseMs(attempt, options.fraction)
      await pause(delayMs, undefined, { ref: false, signal }).catch(() => undefined)
    }
  }
  const running = run()
  return {
    stop: async () => {
      stopping.abort()
      close()
      await running
    },
  }
}
