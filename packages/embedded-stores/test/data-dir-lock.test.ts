import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { DataDirInUse, findHolder, lockDataDir } from '../src/data-dir-lock.ts'

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
    import { lockDataDir } from ${JSON.stringify(new URL('../src/data-dir-lock.ts', import.meta.url).href)}
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

test('R129: whoever listens under the name of the lock chooses no settings: only a note in the folder counts, of the process that listens', async () => {
  const lock = await lockDataDir(folder, { settings: { PORT: '21000' } })
  await lock.release()
  // Every user of the machine can do that while no service runs.
  const name = `\0cardea-${createHash('sha256')
    .update(await realpath(folder))
    .digest('hex')}`
  const forged = { pid: 4242, note: { settings: { DATABASE_URL: 'postgres://elsewhere/' } } }
  const answers = [JSON.stringify(forged), '4242', String(process.pid)]
  const squatter = createServer((socket) => void socket.end(answers.shift() ?? ''))
  squatter.listen({ path: name })
  await once(squatter, 'listening')
  onTestFinished(() => void squatter.close())
  expect(await findHolder(folder)).toEqual({ pid: undefined, note: undefined })
  expect(await findHolder(folder)).toEqual({ pid: 4242, note: undefined })
  // What the last service had is no choice of theirs either.
  expect((await findHolder(folder))?.note).toEqual({ settings: { PORT: '21000' } })
})

test('the holder of a locked folder and what it announced are found, until the folder is free', async () => {
  expect(await findHolder(folder)).toBeUndefined()
  expect(await findHolder(join(folder, 'missing'))).toBeUndefined()
  const lock = await lockDataDir(folder, { settings: { PORT: '21000' } })
  expect(await findHolder(folder)).toEqual({
    pid: process.pid,
    note: { settings: { PORT: '21000' } },
  })
  await lock.release()
  expect(await findHolder(folder)).toBeUndefined()
  const other = await holder(folder)
  expect(await findHolder(folder)).toEqual({ pid: other.pid, note: undefined })
  other.freeze()
  expect(await findHolder(folder)).toEqual({ pid: undefined, note: undefined })
  await other.kill()
})

test.each([
  ['an earlier version, which says its number alone', '4711', { pid: 4711, note: undefined }],
  ['one that says nothing', '', { pid: undefined, note: undefined }],
  ['one that says something else', '{"pid":"x"', { pid: undefined, note: undefined }],
  ['one that says null', 'null', { pid: undefined, note: undefined }],
  ['one that says too much', 'x'.repeat(100_000), { pid: undefined, note: undefined }],
])('the holder may be %s', async (_who, said, expected) => {
  const digest = createHash('sha256')
    .update(await realpath(folder))
    .digest('hex')
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.end(said)
  })
  server.listen({ path: `\0cardea-${digest}` })
  await once(server, 'listening')
  try {
    expect(await findHolder(folder)).toEqual(expected)
    await expect(lockDataDir(folder)).rejects.toBeInstanceOf(DataDirInUse)
  } finally {
    server.close()
  }
})

/** What locking each folder fails with in a process of another user. Only root can start one; else the folder is shut to its owner. */
const refusedToStranger = async (...folders: string[]): Promise<string[]> => {
  const isRoot = process.geteuid?.() === 0
  const script = `
    import { DataDirForbidden, lockDataDir } from ${JSON.stringify(new URL('../src/data-dir-lock.ts', import.meta.url).href)}
    if (${isRoot}) process.setuid(65534)
    for (const path of ${JSON.stringify(folders)}) {
      await lockDataDir(path).catch((error) => {
        if (error instanceof DataDirForbidden) console.log(error.message)
      })
    }`
  await chmod(folder, isRoot ? 0o700 : 0o000)
  try {
    const flags = ['--input-type=module-typescript', '-e', script]
    const { stdout } = await promisify(execFile)(process.execPath, flags)
    return stdout.trim().split('\n')
  } finally {
    await chmod(folder, 0o700)
  }
}

test('the folder of another user is refused with both users, also while that user holds it', async () => {
  const lock = await lockDataDir(folder)
  const within = join(folder, 'within')
  const isRoot = process.geteuid?.() === 0
  expect(await refusedToStranger(folder, within)).toEqual([
    isRoot
      ? `${folder} belongs to user 0, and this process runs as user 65534`
      : `the permissions of ${folder} do not let its owner read and write it`,
    `the folder ${within} cannot be made in ${folder}: this process runs as user ${isRoot ? 65534 : process.geteuid?.()}`,
  ])
  await lock.release()
})

test('what is no folder is refused as that', async () => {
  const file = join(folder, 'file')
  await writeFile(file, '')
  for (const path of [file, join(file, 'below')]) {
    await expect(lockDataDir(path)).rejects.toThrow(`${path} is not a folder`)
  }
})
