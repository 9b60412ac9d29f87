import { constants, type Stats } from 'node:fs'
import { open, realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Other users of this machine can write what the service would trust, or read a secret. The message ends with the command that repairs it.
 */
export class UnsafeFile extends Error {
  override readonly name = 'UnsafeFile'
  readonly code = 'unsafe_file'
}

/** The permissions of group and others, one octal digit each. */
const anything = 0o077
const write = 0o022

const asWord = (path: string): string =>
  /^[\w./@:+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`

/** @param command without the path, which is appended */
const unsafe = (path: string, what: string, advice: string, command: string): UnsafeFile =>
  new UnsafeFile(`${path} ${what}: ${advice} \`${command} ${asWord(path)}\``)

/** @param trusted allowed owners besides this user and root */
const assertOwner = (path: string, { uid }: Stats, trusted: readonly number[] = []): void => {
  const self = process.geteuid?.()
  // Windows has neither owners nor modes.
  if (self === undefined || [self, 0, ...trusted].includes(uid)) return
  const what = `belongs to user ${uid}, and this process runs as user ${self}`
  throw unsafe(path, what, 'start as its owner, or run', `chown ${self}`)
}

const assertMode = (path: string, { mode }: Stats, refused: number, command: string): void => {
  if (process.geteuid === undefined || (mode & refused) === 0) return
  const verb = (mode & write) === 0 ? 'read' : 'written'
  const octal = (mode & 0o777).toString(8).padStart(4, '0')
  throw unsafe(path, `can be ${verb} by other users (mode ${octal})`, 'run', command)
}

/**
 * A user who can write to a folder can replace every file in it.
 * @param trusted allowed owners besides this user and root
 * @throws UnsafeFile; ENOENT when it does not exist
 */
export const assertPrivateFolder = async (
  folder: string,
  trusted: readonly number[] = [],
): Promise<void> => {
  const path = await realpath(folder)
  const found = await stat(path)
  assertOwner(path, found, trusted)
  assertMode(path, found, write, 'chmod go-w')
}

/**
 * Reads a secret that only this user or root can have written and can read. The opened file itself is checked. A symbolic link is followed:
 * then both its folder and that of the file are checked.
 * @param trusted allowed owners of its folder besides this user and root
 * @throws UnsafeFile; ENOENT when it does not exist
 */
export const readPrivateFile = async (
  path: string,
  trusted: readonly number[] = [],
): Promise<string> => {
  // Otherwise opening a named pipe would wait.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const found = await file.stat()
    const real = await realpath(path)
    if (!found.isFile()) throw new UnsafeFile(`${real} is not a file`)
    for (const folder of new Set([dirname(path), dirname(real)])) {
      await assertPrivateFolder(folder, trusted)
    }
    assertOwner(real, found)
    assertMode(real, found, anything, 'chmod 600')
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}
