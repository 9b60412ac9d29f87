import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readPasswords } from '../src/cluster.ts'
import { lockDataDir } from '../src/data-dir-lock.ts'
import { ensureLocalSecret, readLocalSecret } from '../src/local-secrets.ts'
import { UnsafeFile } from '../src/private-files.ts'

const run = promisify(execFile)

const isRoot = process.geteuid?.() === 0
const somebodyElse = 54_321

let scratch: string
let dataDir: string

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'cardea-test-private-'))
  // A command that is printed has to be one word for the shell.
  dataDir = join(scratch, "Ada's data")
  await mkdir(dataDir, { mode: 0o700 })
})
afterEach(() => rm(scratch, { recursive: true }))

const putSecret = async (path = join(dataDir, 'secret')): Promise<string> => {
  await writeFile(path, 'a secret that somebody kept here\n', { mode: 0o600 })
  return path
}

const refusal = async (reading: Promise<unknown>): Promise<UnsafeFile> => {
  const error: unknown = await reading.then(
    () => 'accepted',
    (reason: unknown) => reason,
  )
  if (!(error instanceof UnsafeFile)) throw new Error(`not refused: ${String(error)}`)
  return error
}

/** Does what the message says. */
const repair = async ({ message }: UnsafeFile): Promise<void> => {
  const command = /`([^`]+)`$/.exec(message)?.[1]
  if (command === undefined) throw new Error(`no command in: ${message}`)
  await run('sh', ['-c', command])
}

const read = () => readLocalSecret(dataDir, 'secret')

describe('a secret in DATA_DIR', () => {
  test.each(['0620', '0602', '0640', '0604', '0644', '0666'])(
    'R129: that others may read or write (%s) is not used, and the command in the message repairs it',
    async (mode) => {
      const path = await putSecret()
      await chmod(path, Number.parseInt(mode, 8))
      const error = await refusal(read())
      expect(error.message).toContain(`(mode ${mode})`)
      expect(error.message).toContain(/[26]/.test(mode.slice(2)) ? 'can be written' : 'can be read')
      await repair(error)
      expect(await read()).toBe('a secret that somebody kept here')
    },
  )

  test.each(['0720', '0702', '0770', '0777'])(
    'R129: is not used in a folder that others may write (%s): they could put another one there',
    async (mode) => {
      await putSecret()
      await chmod(dataDir, Number.parseInt(mode, 8))
      await repair(await refusal(read()))
      expect(await read()).toBeDefined()
    },
  )

  test('is used in a folder that others may only look into', async () => {
    await putSecret()
    await chmod(dataDir, 0o755)
    expect(await read()).toBeDefined()
  })

  // Only root can give a file away.
  test.runIf(isRoot)('R129: of another user is not used', async () => {
    const path = await putSecret()
    await chown(path, somebodyElse, somebodyElse)
    const error = await refusal(read())
    expect(error.message).toContain(`belongs to user ${somebodyElse}`)
    await repair(error)
    expect(await read()).toBeDefined()
    await chown(dataDir, somebodyElse, somebodyElse)
    await repair(await refusal(read()))
    expect(await read()).toBeDefined()
  })

  test('R129: that is a link is judged where it leads to', async () => {
    const elsewhere = join(scratch, 'elsewhere')
    await mkdir(elsewhere, { mode: 0o700 })
    const path = await putSecret(join(elsewhere, 'kept'))
    await symlink(path, join(dataDir, 'secret'))
    expect(await read()).toBeDefined()
    await chmod(elsewhere, 0o777)
    const folder = await refusal(read())
    expect(folder.message).toContain(`${elsewhere} can be written`)
    await repair(folder)
    await chmod(path, 0o666)
    const file = await refusal(read())
    expect(file.message).toContain(`${path} can be written`)
    await repair(file)
    expect(await read()).toBeDefined()
    // The link itself may be replaced by whoever may write its folder.
    await chmod(dataDir, 0o777)
    await refusal(read())
  })

  test('that is no file is refused at once: nobody waits for a pipe', async () => {
    await run('mkfifo', ['-m', '600', join(dataDir, 'secret')])
    expect((await refusal(read())).message).toContain('is not a file')
    await rm(join(dataDir, 'secret'))
    await mkdir(join(dataDir, 'secret'))
    expect((await refusal(read())).message).toContain('is not a file')
  })

  test('R129: is not made in a folder that others may write', async () => {
    await chmod(dataDir, 0o777)
    await refusal(ensureLocalSecret(dataDir, 'pepper'))
    expect(await readdir(dataDir)).toEqual([])
    expect(await readLocalSecret(dataDir, 'pepper')).toBeUndefined()
  })
})

test('R129: neither the passwords nor the folder of an embedded Postgres are used when others may write them', async () => {
  const passwords = join(dataDir, 'passwords.json')
  await writeFile(passwords, '{"owner":"a","app":"b"}', { mode: 0o600 })
  expect(await readPasswords(dataDir)).toEqual({ owner: 'a', app: 'b' })
  await chmod(passwords, 0o666)
  await refusal(readPasswords(dataDir))
  await chmod(dataDir, 0o777)
  // Its log, and where a command finds a running Postgres, lie there as well.
  await refusal(lockDataDir(dataDir))
})
