import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
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

const switches = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export type RunningBrowser = {
  /** Ends all of its processes at once, without a chance to write anything. */
  readonly kill: () => Promise<void>
}

/** Opens a page in a browser that keeps everything in this folder. */
export const openChromium = async (home: string, address: string): Promise<RunningBrowser> => {
  const { path, env } = await findChromium()
  const child = spawn(path, [...switches, `--user-data-dir=${home}`, address], {
    env: { ...env, HOME: home },
    stdio: 'ignore',
    // Its own group: the browser is many processes, and all of them are killed at once.
    detached: true,
  })
  const ended = once(child, 'exit')
  return {
    kill: async () => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
      await ended
    },
  }
}
