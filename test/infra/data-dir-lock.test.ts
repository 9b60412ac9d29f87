import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DataDirInUse, lockDataDir } from '../../src/infra/data-dir-lock.ts'

let folder: string
/** Holders that a failed test did not come to kill. */
const holders: ChildProcess[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cardea-test-lock-'))
})

afterEach(async () => {
  for (const child of holders.splice(0)) child.kill('SIGKILL')
  await rm(folder, { recursive: true })
})

/** Another process that holds the lock of the folder until it is killed. */
const holder = async (dataDir: string) => {
  const script = `
    import { lockDataDir } from ${JSON.stringify(new URL('../../src/infra/data-dir-lock.ts', import.meta.url).href)}
    await lockDataDir(${JSON.stringify(dataDir)})
    process.stdout.write('locked')
    setInterval(() => undefined, 1000)`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  holders.push(child)
  await once(child.stdout, 'data')
  return {
    pid: child.pid,
    freeze: () => child.kill('SIGSTOP'),
    kill: async () => {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}

test('a folder that another process uses is refused with the id of that process and what to do', async () => {
  const other = await holder(folder)
  const failure = await lockDataDir(folder).catch((error: unknown) => error)
  await other.kill()
  expect(failure).toBeInstanceOf(DataDirInUse)
  expect(failure).toMatchObject({ pid: other.pid, dataDir: folder })
  expect(String(failure)).toContain(`process ${other.pid} already uses ${folder}`)
  expect(String(failure)).toContain('DATA_DIR')
})

test('a folder is free again after its user was killed', async () => {
  const other = await holder(folder)
  await expect(lockDataDir(folder)).rejects.toBeInstanceOf(DataDirInUse)
  await other.kill()
  const lock = await lockDataDir(folder)
  await lock.release()
})

test('a user of the folder that does not answer still counts as one', async () => {
  const other = await holder(folder)
  other.freeze()
  const failure = await lockDataDir(folder).catch((error: unknown) => error)
  await other.kill()
  expect(failure).toBeInstanceOf(DataDirInUse)
  expect(failure).toMatchObject({ pid: undefined })
})

test('a folder is locked under whatever name it is reached', async () => {
  const other = join(folder, 'link')
  await symlink(folder, other)
  const lock = await lockDataDir(folder)
  await expect(lockDataDir(other)).rejects.toBeInstanceOf(DataDirInUse)
  await lock.release()
})

test('a released folder can be locked again, and releasing twice does no harm', async () => {
  const first = await lockDataDir(folder)
  await first.release()
  await first.release()
  const second = await lockDataDir(folder)
  await first.release()
  await expect(lockDataDir(folder)).rejects.toBeInstanceOf(DataDirInUse)
  await second.release()
})

test('locking makes the folder, for its owner only', async () => {
  const missing = join(folder, 'a', 'b')
  const lock = await lockDataDir(missing)
  expect((await stat(missing)).mode & 0o777).toBe(0o700)
  await lock.release()
})

test('of twenty that lock one folder at once, one gets it', async () => {
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, async () => await lockDataDir(folder)),
  )
  const locks = results.filter((result) => result.status === 'fulfilled')
  expect(locks).toHaveLength(1)
  for (const result of results) {
    if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(DataDirInUse)
  }
  await locks[0]?.value.release()
})
