import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type ScratchFolder, scratchFolder } from '../../../test/support/scratch-folder.ts'
import {
  type EmbeddedPostgres,
  findRunningEmbeddedPostgres,
  processesOn,
  startEmbeddedPostgres,
} from '../src/index.ts'
import { launcherFor } from '../src/launcher.ts'

const isRoot = process.geteuid?.() === 0

let folder: ScratchFolder
let dataDir: string
let directory: string

/** Services that a failed test did not come to kill. */
const services: ChildProcess[] = []

beforeEach(async () => {
  folder = await scratchFolder('embedded')
  dataDir = join(folder.path, 'data')
  directory = join(dataDir, 'postgres')
})

afterEach(async () => {
  for (const child of services.splice(0)) child.kill('SIGKILL')
  await folder.remove()
})

const query = async (url: string, text: string, values: unknown[] = []) => {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query(text, values)).rows
  } finally {
    await client.end()
  }
}

const withPostgres = async (work: (server: EmbeddedPostgres) => Promise<void>) => {
  const server = await startEmbeddedPostgres({ directory })
  try {
    await work(server)
  } finally {
    await server.stop()
  }
}

/** A service process that started the Postgres of `directory` and waits to be killed. */
const service = async () => {
  const entry = new URL('../src/index.ts', import.meta.url).href
  const script = `
    import { startEmbeddedPostgres } from ${JSON.stringify(entry)}
    const { pid, ownerUrl } = await startEmbeddedPostgres({ directory: ${JSON.stringify(directory)} })
    process.stdout.write(JSON.stringify({ pid, ownerUrl }))
    setInterval(() => undefined, 1000)`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  services.push(child)
  const [chunk] = await once(child.stdout, 'data')
  const { pid, ownerUrl } = JSON.parse(String(chunk))
  return {
    pid: Number(pid),
    ownerUrl: String(ownerUrl),
    kill: async () => {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** The pids of the children of `parent` named `name` (proc_pid_stat(5): number, name, state, parent). */
const childrenOf = async (parent: number, name: string): Promise<number[]> => {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))
  const stats = await Promise.all(
    pids.map(async (pid) => await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')),
  )
  return stats
    .filter(
      (text) => text.includes(`(${name}) `) && text.split(') ')[1]?.split(' ')[1] === `${parent}`,
    )
    .map((text) => Number.parseInt(text, 10))
}

describe('a running one', () => {
  let home: ScratchFolder
  let shared: EmbeddedPostgres

  beforeAll(async () => {
    home = await scratchFolder('embedded')
    shared = await startEmbeddedPostgres({ directory: join(home.path, 'postgres') })
    home.watch(shared.pid)
  })

  afterAll(async () => {
    await shared.stop()
    await home.remove()
  })

  test('serves the owner and an application role that owns and creates nothing', async () => {
    const { ownerUrl, appUrl } = shared
    await query(ownerUrl, 'CREATE TABLE things (id int)')
    await query(ownerUrl, 'GRANT INSERT, SELECT ON things TO cardea_app')
    await query(appUrl, 'INSERT INTO things VALUES (1)')
    expect(await query(appUrl, 'SELECT id FROM things')).toEqual([{ id: 1 }])
    for (const refused of [
      'CREATE TABLE mine (id int)',
      'DROP TABLE things',
      'CREATE SCHEMA mine',
      'CREATE TEMPORARY TABLE mine (id int)',
      'CREATE DATABASE mine',
      'SET ROLE cardea_owner',
      "COPY things FROM PROGRAM 'echo 2'",
    ]) {
      await expect(query(appUrl, refused), refused).rejects.toThrow(/permission|must be owner/)
    }
  })

  test('keeps data safe: UTF-8, checksums, and every commit on disk', async () => {
    const { appUrl } = shared
    const rows = await query(
      appUrl,
      `SELECT name, setting FROM pg_settings WHERE name IN
       ('fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums', 'server_encoding') ORDER BY name`,
    )
    expect(rows.map(({ name, setting }) => `${name}=${setting}`)).toEqual([
      'data_checksums=on',
      'fsync=on',
      'full_page_writes=on',
      'server_encoding=UTF8',
      'synchronous_commit=on',
    ])
  })

  test('is reached by loopback and password only, and the passwords are in no log and on no command line', async () => {
    const { ownerUrl, appUrl, pid } = shared
    const wrong = new URL(appUrl)
    wrong.password = 'wrong'
    await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow('password authentication failed')
    const settings = await query(
      ownerUrl,
      "SELECT current_setting('listen_addresses') AS hosts, current_setting('unix_socket_directories') AS sockets",
    )
    expect(settings).toEqual([{ hosts: '127.0.0.1', sockets: '' }])
    const stored = await query(ownerUrl, 'SELECT rolpassword FROM pg_authid WHERE rolcanlogin')
    for (const { rolpassword } of stored) expect(rolpassword).toMatch(/^SCRAM-SHA-256\$/)

    const log = await readFile(join(home.path, 'postgres.log'), 'utf8')
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8')
    expect(log).toContain('ready to accept connections')
    for (const url of [ownerUrl, appUrl]) {
      const { password } = new URL(url)
      expect(password).toHaveLength(32)
      expect(log + commandLine).not.toContain(password)
    }
    const { mode } = await stat(join(home.path, 'postgres', 'passwords.json'))
    expect(mode & 0o777).toBe(0o600)
  })
})

describe('from start to stop', () => {
  test('it is found by a command beside the service, and not once it is stopped', async () => {
    expect(await findRunningEmbeddedPostgres(directory)).toBeUndefined()
    await withPostgres(async ({ ownerUrl, appUrl, pid }) => {
      expect(await findRunningEmbeddedPostgres(directory)).toEqual({ ownerUrl, appUrl, pid })
    })
    expect(await findRunningEmbeddedPostgres(directory)).toBeUndefined()
    expect(await processesOn(directory)).toEqual([])
    // A left-over pid file whose number is another program's by now.
    const lines = [process.pid, '', '', 5432, '', '127.0.0.1', '', 'ready']
    await writeFile(join(directory, 'cluster', 'postmaster.pid'), lines.join('\n'))
    expect(await findRunningEmbeddedPostgres(directory)).toBeUndefined()
  })

  test('it says when it ended without having been asked to', async () => {
    const server = await startEmbeddedPostgres({ directory })
    process.kill(server.pid, 'SIGKILL')
    await server.exited
    await server.stop()
  })

  test('it stops although a client holds a connection with an open transaction', async () => {
    const server = await startEmbeddedPostgres({ directory })
    const client = new pg.Client(server.ownerUrl)
    const failures: string[] = []
    client.on('error', (error) => failures.push(error.message))
    await client.connect()
    await client.query('BEGIN')
    await server.stop()
    await vi.waitFor(() => expect(failures.join()).toMatch(/terminat/))
    expect(await processesOn(directory)).toEqual([])
  })
})

describe('after a kill -9 of the service', () => {
  test('Postgres ends by itself and no committed row is lost', async () => {
    const killed = await service()
    await query(killed.ownerUrl, 'CREATE TABLE kept AS SELECT 42 AS answer')
    await killed.kill()
    await vi.waitFor(async () => expect(await processesOn(directory)).toEqual([]))
    await withPostgres(async ({ ownerUrl }) => {
      expect(await query(ownerUrl, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
    })
  })

  test('a Postgres whose watchdog is gone too is found and ended by the next start', async () => {
    const killed = await service()
    await query(killed.ownerUrl, 'CREATE TABLE kept AS SELECT 42 AS answer')
    const serviceStat = await readFile(`/proc/${killed.pid}/stat`, 'utf8')
    const servicePid = Number(serviceStat.split(') ')[1]?.split(' ')[1])
    const watchdogs = await childrenOf(servicePid, 'sh')
    expect(watchdogs).toHaveLength(1)
    for (const pid of watchdogs) process.kill(pid, 'SIGKILL')
    await killed.kill()
    expect(await processesOn(directory)).toContain(killed.pid)
    await withPostgres(async ({ ownerUrl, pid }) => {
      expect(await processesOn(directory)).not.toContain(killed.pid)
      expect(pid).not.toBe(killed.pid)
      expect(await query(ownerUrl, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
    })
  })

  test('a postmaster that was killed but not waited for does not keep the next one from starting', async () => {
    const killed = await service()
    // The service is frozen and so never collects its child: a zombie that still has its number.
    const stopped = await readFile(`/proc/${killed.pid}/stat`, 'utf8')
    const servicePid = Number(stopped.split(') ')[1]?.split(' ')[1])
    process.kill(servicePid, 'SIGSTOP')
    process.kill(killed.pid, 'SIGKILL')
    await withPostgres(async ({ ownerUrl }) => {
      expect(await readFile(`/proc/${killed.pid}/stat`, 'utf8')).toContain('(postgres) Z ')
      expect(await query(ownerUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    })
    await killed.kill()
  })
})

describe('a first start', () => {
  test('that was killed half-way leaves nothing that a later one takes for a cluster', async () => {
    const halfMade = `${directory}.new-0123456789ab`
    await mkdir(join(halfMade, 'cluster'), { recursive: true })
    await writeFile(join(halfMade, 'cluster', 'PG_VERSION'), '18\n')
    await withPostgres(async ({ appUrl }) => {
      expect(await query(appUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    })
    expect((await readdir(dataDir)).sort()).toEqual(['postgres', 'postgres.log'])
  })

  test('makes the roles and the database, and a second start finds them', async () => {
    await withPostgres(async ({ appUrl, ownerUrl }) => {
      expect(await query(appUrl, 'SELECT current_user::text AS who')).toEqual([
        { who: 'cardea_app' },
      ])
      await query(ownerUrl, 'CREATE TABLE kept AS SELECT 42 AS answer')
    })
    await withPostgres(async ({ ownerUrl }) => {
      expect(await query(ownerUrl, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
    })
  })

  test('that fails says why with the last lines of the log of Postgres', async () => {
    await expect(
      startEmbeddedPostgres({ directory, settings: { shared_buffers: 'plenty' } }),
    ).rejects.toThrow(
      /did not start; the last lines of .*postgres\.log:\n.*shared_buffers.*"plenty"/,
    )
    expect(await processesOn(directory)).toEqual([])
  })

  test('on data whose password file is lost fails instead of making new data', async () => {
    await mkdir(join(directory, 'cluster'), { recursive: true })
    await expect(startEmbeddedPostgres({ directory })).rejects.toThrow('passwords.json')
    expect(await readdir(directory)).toEqual(['cluster'])
  })
})

describe('leaving root behind', () => {
  const surroundings = (uid: number, canMakeUserNamespace: boolean) => ({
    uid,
    gid: uid,
    canMakeUserNamespace: async () => canMakeUserNamespace,
  })

  test('an ordinary user starts Postgres as it is, and is never asked for a namespace', async () => {
    const launcher = await launcherFor({
      ...surroundings(1234, true),
      canMakeUserNamespace: () => Promise.reject(new Error('asked')),
    })
    expect(launcher).toMatchObject({ name: 'direct', owner: { uid: 1234, gid: 1234 } })
    expect(launcher.wrap('postgres', ['-D', 'x'])).toEqual({
      command: 'postgres',
      args: ['-D', 'x'],
    })
  })

  test('root uses a user namespace, or nobody where there is none', async () => {
    const inNamespace = await launcherFor(surroundings(0, true))
    expect(inNamespace).toMatchObject({ name: 'user-namespace', owner: { uid: 0 } })
    expect(inNamespace.wrap('postgres', []).command).toBe('unshare')
    const asNobody = await launcherFor(surroundings(0, false))
    expect(asNobody).toMatchObject({ name: 'nobody', owner: { uid: 65534 } })
    expect(asNobody.wrap('postgres', []).command).toBe('setpriv')
  })

  // Only root can become nobody; for anyone else there is nothing to run.
  test.runIf(isRoot)('as nobody it runs below a folder that only root may enter', async () => {
    await mkdir(dataDir, { mode: 0o700 })
    await chmod(folder.path, 0o700)
    const launcher = await launcherFor(surroundings(0, false))
    const server = await startEmbeddedPostgres({ directory, launcher })
    try {
      expect(await query(server.appUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
      const status = await readFile(`/proc/${server.pid}/status`, 'utf8')
      expect(status).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m)
      expect((await findRunningEmbeddedPostgres(directory))?.pid).toBe(server.pid)
    } finally {
      await server.stop()
    }
    const inNamespace = await launcherFor(surroundings(0, true))
    await expect(startEmbeddedPostgres({ directory, launcher: inNamespace })).rejects.toThrow(
      /belongs to user 65534, .*`chown -R 0 /,
    )
  })
})
