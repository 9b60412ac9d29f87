import { type Instance, startInstance } from '../../src/app.ts'
import { loadConfig, sizeThreadPool } from '../../src/config/index.ts'
import { BoundedOutput } from '../../src/lib/bounded-output.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import { openStores } from '../../src/store-credentials.ts'
import { answerCalls } from '../calls.ts'

export type ClientCredential = { readonly id: string; readonly secret: string }

export type Usage = {
  /** User and system time since the process began, microseconds. */
  readonly cpuMicros: number
  /** The maximum resident memory since the last call, MB of 10^6 bytes. */
  readonly peakMb: number
}

const sampleMemoryEveryMs = 100

let instance: Instance | undefined
let peakBytes = 0
setInterval(() => {
  peakBytes = Math.max(peakBytes, process.memoryUsage.rss())
}, sampleMemoryEveryMs).unref()

/**
 * The service as the image ships it, in a separate process, with its use of the machine. `npm run bench` compiles this file too, because a
 * process that reads TypeScript keeps 18 MB for it.
 */
const calls = {
  /** `settings` are environment variables. The database exists and is migrated. */
  start: async (settings: Readonly<Record<string, string>>): Promise<string> => {
    const config = loadConfig(settings)
    sizeThreadPool(config)
    const stores = await openStores(config, { joinsRunning: false })
    const machine = { random: systemRandom }
    instance = await startInstance(config, stores, { machine, logStream: new BoundedOutput(1) })
    return instance.address
  },
  /** A client with a secret, for following revocations and for introspection. */
  createClient: async (name: string): Promise<ClientCredential> => {
    if (!instance) throw new Error('not started')
    const { clientId, clientSecret } = await instance.core.serviceClients.create({
      name,
      actor: { kind: 'system' },
    })
    return { id: clientId, secret: clientSecret }
  },
  usage: (_: null): Usage => {
    const { user, system } = process.cpuUsage()
    const peakMb = Math.max(peakBytes, process.memoryUsage.rss()) / 1e6
    peakBytes = 0
    return { cpuMicros: user + system, peakMb }
  },
}

export type ServerCalls = typeof calls

answerCalls(calls, async () => await instance?.stop())
