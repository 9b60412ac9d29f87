import { execFile } from 'node:child_process'
import { appendFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { processesOn, startEmbeddedPostgres } from '../../packages/embedded-stores/src/index.ts'
import { type PostgresServer, signalIfThere } from './postgres-server.ts'
import { scratchFolder } from './scratch-folder.ts'
import { sqlAs } from './sql.ts'

const run = promisify(execFile)

export type PostgresStandby = {
  readonly ownerUrl: string
  readonly appUrl: string
  /** Stops every process, the receiver of the log too: a primary that waits for this standby waits until `thaw`. */
  readonly freeze: () => Promise<void>
  readonly thaw: () => Promise<void>
  /** Receives nothing any more from now on: what the primary commits afterwards, this one does not have. */
  readonly fallBehind: () => Promise<void>
  /** Takes over; resolves when it accepts writes. */
  readonly promote: () => Promise<void>
  /** Ends the server for good and removes its folder. */
  readonly stop: () => Promise<void>
}

const conninfo = (primaryUrl: string): string => {
  const { port, username, password } = new URL(primaryUrl)
  return `host=127.0.0.1 port=${port} user=${username} password=${password} application_name=standby`
}

/** A base backup as the low-level API of PostgreSQL makes one; the binaries at hand have no pg_basebackup. */
const copyCluster = async (primary: PostgresServer, directory: string): Promise<void> => {
  const client = new pg.Client(primary.ownerUrl)
  await client.connect()
  try {
    const { rows } = await client.query('SHOW data_directory')
    const source = dirname(rows[0].data_directory)
    const cluster = join(directory, 'cluster')
    await client.query("SELECT pg_backup_start('standby', fast => true)")
    await run('cp', ['-a', join(source, 'cluster'), join(source, 'passwords.json'), directory])
    const stopped = await client.query('SELECT labelfile FROM pg_backup_stop()')
    await rm(join(cluster, 'postmaster.pid'))
    await writeFile(join(cluster, 'backup_label'), stopped.rows[0].labelfile)
    await writeFile(join(cluster, 'standby.signal'), '')
    const line = `primary_conninfo = '${conninfo(primary.ownerUrl)}'\n`
    await appendFile(join(cluster, 'postgresql.auto.conf'), line)
  } finally {
    await client.end()
  }
}

/** A hot standby that streams from `primary`, on a free port of the loopback. */
export const startStandby = async (primary: PostgresServer): Promise<PostgresStandby> => {
  const folder = await scratchFolder('standby')
  const directory = join(folder.path, 'postgres')
  try {
    await mkdir(directory, { mode: 0o700 })
    await copyCluster(primary, directory)
    const [row] = await sqlAs(primary.ownerUrl)<{ max_connections: string }>('SHOW max_connections')
    // A standby refuses to start with less than its primary has.
    const settings = { max_connections: row?.max_connections ?? '' }
    const server = await startEmbeddedPostgres({ directory, settings })
    folder.watch(server.pid)
    const signalAll = async (signal: NodeJS.Signals) => {
      for (const pid of await processesOn(directory)) signalIfThere(pid, signal)
    }
    return {
      ownerUrl: server.ownerUrl,
      appUrl: server.appUrl,
      freeze: () => signalAll('SIGSTOP'),
      thaw: () => signalAll('SIGCONT'),
      fallBehind: async () => {
        const sql = sqlAs(server.ownerUrl)
        await sql("ALTER SYSTEM SET primary_conninfo = ''")
        await sql('SELECT pg_reload_conf()')
        while ((await sql('SELECT FROM pg_stat_wal_receiver')).length > 0) await pause(20)
      },
      promote: async () => {
        await sqlAs(server.ownerUrl)('SELECT pg_promote()')
      },
      stop: async () => {
        await signalAll('SIGCONT')
        await server.stop()
        await folder.remove()
      },
    }
  } catch (error) {
    await folder.remove()
    throw error
  }
}

/** From now on a commit on `primary` waits for the standby. Resolves when the standby counts as synchronous. */
export const makeSynchronous = async (primary: PostgresServer): Promise<void> => {
  const sql = sqlAs(primary.ownerUrl)
  await sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
  await sql('SELECT pg_reload_conf()')
  const text = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
  while ((await sql(text)).length === 0) await pause(50)
}
