import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { vi } from 'vitest'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../src/infra/embedded-postgres/index.ts'
import { freePort } from './free-port.ts'
import type { PostgresServer } from './postgres-server.ts'
import { scratchFolder } from './scratch-folder.ts'
import { sqlAs } from './sql.ts'

const run = promisify(execFile)

export type PostgresStandby = {
  readonly ownerUrl: string
  readonly appUrl: string
  /** Receives nothing any more from now on: what the primary commits afterwards, this one does not have. */
  readonly fallBehind: () => Promise<void>
  /** Takes over; resolves when it accepts writes. */
  readonly promote: () => Promise<void>
  readonly stop: () => Promise<void>
}

const patience = { timeout: 30_000, interval: 20 }

/** The files of a running server, as `pg_basebackup` would copy them; `directory` gets what is in that of the server. */
const copyFiles = async (primary: PostgresServer, cluster: string, directory: string) => {
  const session = new pg.Client(primary.ownerUrl)
  await session.connect()
  try {
    await session.query(`SELECT pg_backup_start('standby', true)`)
    await run('cp', ['-a', dirname(cluster), directory])
    const { rows } = await session.query<{ labelfile: string }>(
      'SELECT labelfile FROM pg_backup_stop(false)',
    )
    return rows[0]?.labelfile ?? ''
  } finally {
    await session.end()
  }
}

/** An asynchronous standby of a server that `startPostgres` has made, in a folder of its own. */
export const startStandby = async (primary: PostgresServer): Promise<PostgresStandby> => {
  const folder = await scratchFolder('standby')
  const directory = join(folder.path, 'postgres')
  const [row] = await sqlAs(primary.ownerUrl)<{ data_directory: string }>('SHOW data_directory')
  const label = await copyFiles(primary, row?.data_directory ?? '', directory)
  const cluster = join(directory, 'cluster')
  await rm(join(cluster, 'postmaster.pid'))
  await writeFile(join(cluster, 'backup_label'), label)
  await writeFile(join(cluster, 'standby.signal'), '')
  const { hostname, port, username, password } = new URL(primary.ownerUrl)
  const source = `host=${hostname} port=${port} user=${username} password=${decodeURIComponent(password)}`
  const settings = await readFile(join(cluster, 'postgresql.auto.conf'), 'utf8')
  await writeFile(
    join(cluster, 'postgresql.auto.conf'),
    `${settings}primary_conninfo = '${source}'\n`,
  )
  const ownPort = await freePort()
  // Resolves when it takes writes.
  const started: Promise<EmbeddedPostgres> = startEmbeddedPostgres({
    directory,
    settings: { port: String(ownPort) },
  })
  started.catch(() => undefined)
  const at = (url: string): string => {
    const own = new URL(url)
    own.port = String(ownPort)
    return own.href
  }
  const ownerUrl = at(primary.ownerUrl)
  const isStreaming = async () => {
    const text = 'SELECT status FROM pg_stat_wal_receiver'
    const found = await sqlAs(ownerUrl)<{ status: string }>(text).catch(() => [])
    return found[0]?.status === 'streaming'
  }
  await vi.waitUntil(isStreaming, patience)
  const whenPromoted = async () => {
    await sqlAs(ownerUrl)('SELECT pg_promote()')
    folder.watch((await started).pid)
  }
  let isPromoted = false
  return {
    ownerUrl,
    appUrl: at(primary.appUrl),
    fallBehind: async () => {
      await sqlAs(ownerUrl)(`ALTER SYSTEM SET primary_conninfo = ''`)
      await sqlAs(ownerUrl)('SELECT pg_reload_conf()')
      const hasStopped = async () =>
        (await sqlAs(ownerUrl)('SELECT FROM pg_stat_wal_receiver')).length === 0
      await vi.waitUntil(hasStopped, patience)
    },
    promote: async () => {
      isPromoted = true
      await whenPromoted()
    },
    stop: async () => {
      if (!isPromoted) await whenPromoted()
      await (await started).stop()
      await folder.remove()
    },
  }
}
