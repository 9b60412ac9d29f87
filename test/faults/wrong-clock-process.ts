import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { inject, vi } from 'vitest'
import { clockAhead } from '../support/clocks/wrong-clock.ts'
import type { FreshDatabase } from '../support/servers/postgres-server.ts'
import { type Client, httpClient } from '../support/service/client.ts'
import type { ChildMessage } from './wrong-clock-child.ts'

const program = fileURLToPath(new URL('wrong-clock-child.ts', import.meta.url))

export type WrongClockProcess = {
  readonly client: Client
  readonly log: () => string
  /** Resolves when everything that works by time has been done so many times more. */
  readonly cycles: (count: number) => Promise<void>
  readonly setClock: (aheadMs: number) => void
  readonly stop: () => Promise<void>
}

/** A process of the service whose wall clock is wrong. */
export const startWrongClock = async (
  database: FreshDatabase,
  aheadMs: number,
  settings: Readonly<Record<string, string>>,
): Promise<WrongClockProcess> => {
  const child = spawn(process.execPath, [program], {
    env: {
      PORT: '0',
      HOST: '127.0.0.1',
      DATABASE_URL: database.appUrl,
      MIGRATE_DATABASE_URL: database.ownerUrl,
      REDIS_URL: inject('redisUrl'),
      ...clockAhead(aheadMs),
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  let log = ''
  let done = 0
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      log += text
    })
  }
  const ended = once(child, 'exit')
  const address = await new Promise<string>((resolve, reject) => {
    child.on('message', (message: ChildMessage) => {
      if ('cycles' in message) done = message.cycles
      else resolve(message.address)
    })
    child.once('exit', () => reject(new Error(`the service ended: ${log}`)))
  })
  return {
    client: httpClient(address),
    log: () => log,
    cycles: async (count) => {
      const wanted = done + count
      await vi.waitUntil(() => done >= wanted, { interval: 20 })
    },
    setClock: (ms) => {
      child.send({ wrongClockMs: ms })
    },
    stop: async () => {
      child.disconnect()
      await ended
    },
  }
}
