import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { vi } from 'vitest'
import { machineEnvironment } from '../support/programs/machine-environment.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'
import { freePort } from '../support/servers/free-port.ts'
import { codeBlock } from './markdown.ts'

export type Sample = {
  readonly page: string
  /** A text that only this block of the page holds. */
  readonly holding: string
  /** Written behind the block, with `PORT` for the port: what a reader adds to a sample that serves nothing by itself. */
  readonly more?: string
}

type Surroundings = {
  /** Addresses of the page, and what is in their place here. */
  readonly replace: Readonly<Record<string, string>>
  readonly env: Readonly<Record<string, string>>
}

export type SampleProgram = {
  readonly address: string
  readonly get: (path: string, headers?: Readonly<Record<string, string>>) => Promise<Response>
  readonly send: (
    method: string,
    path: string,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Response>
  readonly stop: () => Promise<void>
}

const preload = new URL('verifier-sources.ts', import.meta.url).href

/** The block as printed, but for addresses and the port, and what is written behind it. */
const sourceOf = (
  { page, holding, more = '' }: Sample,
  { replace }: Surroundings,
  port: number,
) => {
  const listening = codeBlock(page, holding)
    .replaceAll('port: 3000', `port: ${port}`)
    .replaceAll(/listen\((3000|9464)\)/g, `listen(${port})`)
  return Object.entries(replace).reduce(
    (code, [example, here]) => code.replaceAll(example, here),
    `${listening}\n${more.replaceAll('PORT', `${port}`)}`,
  )
}

/** Runs a server of the documentation in a process of its own, and waits until it responds. */
export const startSample = async (
  sample: Sample,
  surroundings: Surroundings,
): Promise<SampleProgram> => {
  const port = await freePort()
  const folder = await scratchFolder('sample')
  await symlink(resolve('node_modules'), join(folder.path, 'node_modules'))
  await writeFile(join(folder.path, 'sample.mts'), sourceOf(sample, surroundings, port))
  const child = spawn(process.execPath, ['--import', preload, 'sample.mts'], {
    cwd: folder.path,
    env: machineEnvironment(surroundings.env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'exit')
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      printed += chunk
    })
  }
  const address = `http://127.0.0.1:${port}`
  const send: SampleProgram['send'] = (method, path, headers = {}) =>
    fetch(`${address}${path}`, { method, headers })
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
    await folder.remove()
  }
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null
  try {
    await vi.waitUntil(async () => {
      if (hasEnded()) return true
      const response = await send('GET', '/').catch(() => undefined)
      await response?.text()
      return response !== undefined
    })
    if (hasEnded()) throw new Error(`the sample of ${sample.page} ended:\n${printed}`)
    return { address, get: (path, headers) => send('GET', path, headers), send, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
