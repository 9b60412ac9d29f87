import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { launcherHere } from '../../packages/embedded-stores/src/launcher.ts'
import type { Program } from './debian-packages.ts'
import { findProgram } from './find-program.ts'
import { freePort } from './free-port.ts'
import { scratchFolder } from './scratch-folder.ts'

const findPgBouncer = (): Promise<Program> =>
  findProgram({
    name: 'pgbouncer',
    need: 'a real PgBouncer',
    commands: ['pgbouncer', '/usr/sbin/pgbouncer'],
    unpacked: ['usr/sbin/pgbouncer', 'usr/bin/pgbouncer'],
    probe: ['--version'],
    packages: ['pgbouncer'],
    withDependencies: true,
    // The installation of the package needs these, and the program does not.
    leaveOut:
      /^(perl|libperl|libgdbm|libdb5|adduser|passwd|login|lsb-base|sysvinit|init-system|postgresql|ssl-cert|openssl|ucf|libjson|netbase|debconf|sensible|coreutils|libpam-|libaudit|libsem|libsepol|procps|libproc2|libncurses|libtinfo)/,
  })

export type PgBouncer = {
  /** The same URL, but through the pooler. */
  readonly through: (url: string) => string
  readonly stop: () => Promise<void>
}

/** As somebody writes it who has read no more than the first page of its manual. */
const configuration = (folder: string, port: number, target: URL, mode: string): string =>
  [
    '[databases]',
    `* = host=127.0.0.1 port=${target.port}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = scram-sha-256',
    `auth_file = ${join(folder, 'users.txt')}`,
    `pool_mode = ${mode}`,
    '',
  ].join('\n')

/** A real PgBouncer before a Postgres of the loopback, for the users of these URLs. */
export const startPgBouncer = async (
  urls: readonly [string, ...string[]],
  mode: 'session' | 'transaction',
): Promise<PgBouncer> => {
  const [program, launcher] = await Promise.all([findPgBouncer(), launcherHere()])
  const folder = await scratchFolder('pgbouncer')
  const port = await freePort()
  const users = urls.map((url) => new URL(url))
  const lines = users.map(({ username, password }) => `"${username}" "${password}"\n`)
  await writeFile(join(folder.path, 'users.txt'), lines.join(''))
  const file = join(folder.path, 'pgbouncer.ini')
  await writeFile(file, configuration(folder.path, port, users[0]!, mode))
  const { command, args } = launcher.wrap(program.path, [file])
  const child = spawn(command, args, {
    env: program.env,
    cwd: folder.path,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  folder.watch(child.pid ?? '')
  const ended = once(child, 'exit')
  const stop = async () => {
    child.kill('SIGKILL')
    await ended
    await folder.remove()
  }
  let log = ''
  const up = new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      log += chunk.toString()
      if (log.includes('process up')) resolve()
    })
    child.once('exit', () => reject(new Error(`PgBouncer did not start:\n${log}`)))
  })
  await up.catch(async (error: unknown) => {
    await stop()
    throw error
  })
  return {
    through: (url) =>
      Object.assign(new URL(url), { hostname: '127.0.0.1', port: String(port) }).href,
    stop,
  }
}
