import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { bareEnvironment, type Program } from '../programs/debian-packages.ts'
import { findProgram } from '../programs/find-program.ts'

const run = promisify(execFile)

/** For root only. `RUNLEVEL=1` keeps Debian from starting the server as a system service. */
const installWithApt = async (): Promise<void> => {
  const env = bareEnvironment({ DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' })
  await run('apt-get', ['-q', 'update'], { env })
  await run('apt-get', ['-q', '-y', '--no-install-recommends', 'install', 'redis-server'], { env })
}

/** A real Redis or Valkey server. There is no npm package of one, and imitations are not faithful. */
export const findRedis = (): Promise<Program> =>
  findProgram({
    name: 'redis',
    need: 'a real Redis or Valkey',
    commands: ['redis-server', 'valkey-server'],
    unpacked: ['usr/bin/redis-server'],
    probe: ['--version'],
    // What it needs beyond a minimal system.
    packages: ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1', 'libatomic1'],
    ...(process.geteuid?.() === 0 && { install: installWithApt }),
  })
