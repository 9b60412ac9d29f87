import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { processesOn, startEmbeddedPostgres } from '../packages/embedded-stores/src/index.ts'
import { scratchFolder } from '../test/support/programs/scratch-folder.ts'
import type { Calls } from './calls.ts'
import { type Child, type NodeSettings, startChild } from './child.ts'
import type { ServerCalls } from './children/server.ts'
import { type BenchDatabase, createDatabase, settingsFor } from './database.ts'
import { cpuSecondsOf } from './machine.ts'

/** Shared by all scenarios of a run: one durable Postgres in a folder that is removed with it, and functions that start processes. */
export type Stage = {
  readonly folder: string
  /** The duration of one round of load. */
  readonly seconds: number
  readonly database: (name: string) => Promise<BenchDatabase>
  /** Starts a program of `children/`. It ends with the stage at the latest. */
  readonly child: <Offered extends Calls>(name: string) => Child<Offered>
  /** Starts the service in a separate process, with `settings` in addition to those of every scenario. */
  readonly server: (
    database: BenchDatabase,
    settings?: Readonly<Record<string, string>>,
  ) => Promise<Server>
  /** CPU time of all Postgres processes since they began, in seconds. */
  readonly postgresCpuSeconds: () => Promise<number>
  readonly close: () => Promise<void>
}

export type Server = Child<ServerCalls> & { readonly address: string }

export type StageOptions = {
  readonly seconds: number
  /** Children on core 0, everything else on core 1. */
  readonly pinned: boolean
  readonly profileFolder: string | undefined
}

const compiledServer = '../dist/bench/children/server.js'

/** Starts Node like the image does, because the shipped configuration is measured. */
const asShipped = async (): Promise<NodeSettings> => {
  const dockerfile = await readFile(new URL('../Dockerfile', import.meta.url), 'utf8')
  const command = /^CMD \["node", (.*)"dist\/src\/main\.js"\]$/m.exec(dockerfile)?.[1]
  const arenas = /^ENV MALLOC_ARENA_MAX=(\d+)$/m.exec(dockerfile)?.[1]
  if (command === undefined || arenas === undefined)
    throw new Error('the Dockerfile does not start dist/src/main.js with MALLOC_ARENA_MAX')
  const flags = [...command.matchAll(/"([^"]+)"/g)].map(([, flag = '']) => flag)
  return { flags, environment: { MALLOC_ARENA_MAX: arenas } }
}

export const openStage = async ({
  seconds,
  pinned,
  profileFolder,
}: StageOptions): Promise<Stage> => {
  const shipped = await asShipped()
  const folder = await scratchFolder('bench')
  const directory = join(folder.path, 'postgres')
  const postgres = await startEmbeddedPostgres({ directory })
  folder.watch(postgres.pid)
  const children: { end: () => Promise<void> }[] = []
  const databases: BenchDatabase[] = []

  const child = <Offered extends Calls>(name: string): Child<Offered> => {
    const isService = name === 'server'
    const program = new URL(isService ? compiledServer : `children/${name}.ts`, import.meta.url)
    const started = startChild<Offered>(program, {
      core: pinned ? 0 : undefined,
      profileFolder,
      node: isService ? shipped : { flags: [], environment: {} },
    })
    children.push(started)
    return started
  }
  return {
    folder: folder.path,
    seconds,
    child,
    database: async (name) => {
      const database = await createDatabase(postgres, name)
      databases.push(database)
      return database
    },
    server: async ({ appUrl, ownerUrl }, settings = {}) => {
      const server = child<ServerCalls>('server')
      const all = { ...settingsFor(appUrl, ownerUrl), ...settings }
      return { ...server, address: await server.call('start', all) }
    },
    postgresCpuSeconds: async () => await cpuSecondsOf(await processesOn(directory)),
    close: async () => {
      await Promise.all(children.map(async (started) => await started.end()))
      await Promise.all(databases.map(async (database) => await database.close()))
      await postgres.stop()
      await folder.remove()
    },
  }
}
