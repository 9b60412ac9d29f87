import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { bareEnvironment, type Program } from './debian-packages.ts'
import { findProgram } from './find-program.ts'

const run = promisify(execFile)

/** For root only. */
const install = async (): Promise<void> => {
  const env = bareEnvironment({ DEBIAN_FRONTEND: 'noninteractive' })
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', 'chromium']]) {
    await run('apt-get', ['-q', ...args], { env, maxBuffer: 16 * 1024 * 1024 })
  }
}

/** A real Chromium. */
export const findChromium = (): Promise<Program> =>
  findProgram({
    name: 'chromium',
    need: 'a real Chromium',
    commands: ['chromium', '/usr/bin/chromium'],
    unpacked: ['usr/lib/chromium/chromium'],
    packages: ['chromium'],
    withDependencies: true,
    probe: ['--version'],
    ...(process.geteuid?.() === 0 && { install }),
  })
