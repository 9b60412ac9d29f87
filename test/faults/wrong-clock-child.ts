import { startInstance } from '../../src/app.ts'
import { startBackground } from '../../src/background.ts'
import { loadConfig } from '../../src/config/index.ts'
import type { Core } from '../../src/core.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import { prepareSchema } from '../../src/schema.ts'
import { openStores } from '../../src/store-credentials.ts'

/** The service as it is, which drops what has ended and keeps its keys twenty times a second. Ends with its parent. */

export type ChildMessage = { readonly address: string } | { readonly cycles: number }

const say = (message: ChildMessage): void => {
  process.send?.(message)
}

const config = loadConfig()
const stores = await openStores(config, { joinsRunning: false })
await prepareSchema(config, stores)
const machine = { random: systemRandom }
const logStream = { write: (line: string) => void process.stdout.write(line) }
const service = await startInstance(config, stores, { machine, logStream })
const { core } = service

let cycles = 0
const counted: Core = {
  ...core,
  stores: {
    ...core.stores,
    sessions: {
      ...core.stores.sessions,
      dropExpired: async (beforeMs, limit) => {
        const dropped = await core.stores.sessions.dropExpired(beforeMs, limit)
        await core.keys.keep()
        cycles += 1
        say({ cycles })
        return dropped
      },
    },
  },
}
const upkeep = startBackground(counted, { everyMs: 50, batchRows: 1_000, soonMs: 10 })
say({ address: service.address })
process.channel?.ref()
process.once('disconnect', async () => {
  await upkeep.stop()
  await service.stop()
  await stores.close()
})
