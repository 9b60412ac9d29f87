import { createApp } from './app.ts'
import { startBackground } from './background.ts'
import { type Core, composeCore, type Machine } from './compose.ts'
import type { Config } from './config/index.ts'
import type { HttpServer } from './http/server.ts'
import type { Stores } from './stores.ts'

export type Instance = {
  readonly core: Core
  /** Where it listens, e.g. `http://127.0.0.1:8088`. */
  readonly address: string
  /** Lets requests under way finish, then lets go of everything it holds. The stores stay. */
  readonly stop: () => Promise<void>
}

export type InstanceOptions = {
  readonly machine: Omit<Machine, 'report'>
  readonly app?: Parameters<typeof createApp>[1]
}

/** One running instance over stores that are open and migrated. Several may run at once, in one process or in many. */
export const startInstance = async (
  config: Config,
  stores: Stores,
  { machine, app: appOptions }: InstanceOptions,
): Promise<Instance> => {
  // Stores report before there is a logger; the first thing that can go wrong comes after.
  let app: HttpServer | undefined
  const report: Machine['report'] = (error, what) => app?.log.warn({ err: error }, what)
  const core = await composeCore(config, stores, { ...machine, report })
  try {
    app = await createApp(core, appOptions)
    const address = await app.listen({ host: config.host, port: config.port })
    const background = startBackground(core)
    const { close } = app
    return {
      core,
      address,
      stop: async () => {
        await close()
        await background.stop()
        await core.close()
      },
    }
  } catch (error) {
    await app?.close()
    await core.close()
    throw error
  }
}
