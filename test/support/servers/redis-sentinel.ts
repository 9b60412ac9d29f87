import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { scratchFolder } from '../programs/scratch-folder.ts'
import { findRedis } from './find-redis.ts'

/** A Sentinel on the loopback, once it watches its primary; `lines` of its configuration say on which port, and which one. */
export const startSentinel = async (
  lines: readonly string[],
): Promise<{ readonly stop: () => Promise<void> }> => {
  const binary = await findRedis()
  const folder = await scratchFolder('sentinel')
  const configuration = join(folder.path, 'sentinel.conf')
  await writeFile(configuration, ['bind 127.0.0.1', ...lines, ''].join('\n'))
  const sentinel = spawn(binary.path, [configuration, '--sentinel'], {
    env: binary.env,
    cwd: folder.path,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  folder.watch(sentinel.pid ?? '')
  const ended = once(sentinel, 'exit')
  const stop = async () => {
    sentinel.kill('SIGKILL')
    await ended
    await folder.remove()
  }
  let log = ''
  const watches = new Promise<void>((resolve, reject) => {
    sentinel.stdout.on('data', (chunk: Buffer) => {
      log += chunk.toString()
      if (log.includes('+monitor')) resolve()
    })
    sentinel.once('exit', () => reject(new Error(`the Sentinel did not start:\n${log}`)))
  })
  await watches.catch(async (error: unknown) => {
    await stop()
    throw error
  })
  return { stop }
}
