import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { settingsFor } from '../database.ts'
import { figure } from '../row.ts'
import { median } from '../sample.ts'
import type { Scenario } from '../scenario.ts'

const project = fileURLToPath(new URL('../../', import.meta.url))
const turns = 3

/** The line of `npm start` with the address. */
const listens = /listens on (http:\S+)/

const waitForAddress = async (lines: AsyncIterable<string>): Promise<string> => {
  for await (const line of lines) {
    const address = listens.exec(line)?.[1]
    if (address !== undefined) return address
  }
  throw new Error('npm start ended before it listened')
}

/** From the command to the first response of `/health/ready`, in seconds. Then stops it and waits. */
const timeStart = async (settings: Readonly<Record<string, string>>): Promise<number> => {
  const variables = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
  const startMs = performance.now()
  const child = spawn('env', [...variables, 'npm', 'start'], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'inherit'],
    // A separate process group, so that one signal reaches npm and what it started.
    detached: true,
  })
  const ended = once(child, 'exit')
  try {
    const address = await waitForAddress(createInterface({ input: child.stdout }))
    const ready = await fetch(`${address}/health/ready`)
    if (ready.status !== 200) throw new Error(`/health/ready answered ${ready.status}`)
    return (performance.now() - startMs) / 1000
  } finally {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM')
    child.stdout.resume()
    await ended
  }
}

const repeatedly = async (settings: Readonly<Record<string, string>>): Promise<number> => {
  const times: number[] = []
  for (let turn = 0; turn < turns; turn += 1) times.push(await timeStart(settings))
  return median(times)
}

/** `npm start` until it is ready: with existing stores, and with the embedded Postgres, for the first time and again. */
export const start: Scenario = {
  name: 'start',
  run: async (stage) => {
    const database = await stage.database('start')
    const there = settingsFor(database.appUrl, database.ownerUrl)
    const embedded = {
      DATA_DIR: join(stage.folder, 'start-data'),
      ISSUER: 'http://127.0.0.1:8088',
      PORT: '0',
    }
    await timeStart(there)
    const withStores = await repeatedly(there)
    const first = await timeStart(embedded)
    const second = await repeatedly(embedded)
    return {
      rows: [
        figure(
          { what: 'npm start to ready, stores there already', unit: 's', hold: { atMost: 1.5 } },
          withStores,
        ),
        figure(
          { what: 'npm start to ready, embedded, second start', unit: 's', hold: { atMost: 5 } },
          second,
        ),
        figure({ what: 'npm start to ready, embedded, first start', unit: 's' }, first),
      ],
      details: [],
    }
  },
}
