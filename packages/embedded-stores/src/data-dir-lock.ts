import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { access, constants, mkdir, realpath, rename, stat, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { assertPrivateFolder, readPrivateFile } from './private-files.ts'

export type DataDirLock = { readonly release: () => Promise<void> }

export type Holder = {
  /** Undefined when the holder did not respond: it is frozen or just ending. */
  readonly pid: number | undefined
  /** The note of the holder. Never a secret. */
  readonly note: unknown
}

/** Another process uses the folder. The message is for the operator. */
export class DataDirInUse extends Error {
  override readonly name = 'DataDirInUse'
  readonly code = 'data_dir_in_use'
  readonly dataDir: string
  readonly pid: Holder['pid']

  constructor(dataDir: string, pid: number | undefined) {
    const holder = pid === undefined ? 'another process' : `process ${pid}`
    super(`${holder} already uses ${dataDir}: stop it, or set DATA_DIR to another folder`)
    this.dataDir = dataDir
    this.pid = pid
  }
}

/** The folder, or its parent, belongs to another user. The message is for the operator. */
export class DataDirForbidden extends Error {
  override readonly name = 'DataDirForbidden'
  readonly code = 'data_dir_forbidden'
}

const me = (): string => `this process runs as user ${process.geteuid?.()}`

const forbidden = async (dataDir: string): Promise<DataDirForbidden> => {
  const found = await stat(dataDir).catch(() => undefined)
  if (!found) {
    const place = dirname(dataDir)
    return new DataDirForbidden(`the folder ${dataDir} cannot be made in ${place}: ${me()}`)
  }
  return found.uid === process.geteuid?.()
    ? new DataDirForbidden(`the permissions of ${dataDir} do not let its owner read and write it`)
    : new DataDirForbidden(`${dataDir} belongs to user ${found.uid}, and ${me()}`)
}

/** Creates a missing folder with access for its owner only. */
const openFolder = async (dataDir: string): Promise<void> => {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 })
    await access(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    if (/^(EACCES|EPERM|EROFS)$/.test(String(errorCode(error)))) throw await forbidden(dataDir)
    if (!/^(EEXIST|ENOTDIR)$/.test(String(errorCode(error)))) throw error
    throw new Error(`${dataDir} is not a folder: set DATA_DIR to one`, { cause: error })
  }
}

/** How long a holder may take to respond. */
const respondWithinMs = 1000

const maxResponseLength = 64

/**
 * The name in Linux's abstract socket namespace (unix(7)). There is no file, so nothing is left over, and the kernel frees it with the
 * process, even after kill -9. It is visible within one network namespace: two containers that share a folder do not see each other.
 */
const socketName = (realFolder: string): string =>
  `\0cardea-${createHash('sha256').update(realFolder).digest('hex')}`

const errorCode = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined

/** A holder that is just ending, or has more requests than it can handle. */
const saysNothing = /^(ECONNRESET|EPIPE|EAGAIN)$/

type Claimed = { readonly pid: number | undefined }

const unknownHolder: Claimed = { pid: undefined }

/**
 * Only the process id is trusted. Every user of the machine can listen under this name while no service runs, and must not be able to
 * choose the settings of a command.
 */
const readClaimed = (text: string): Claimed =>
  /^\d{1,10}$/.test(text) ? { pid: Number(text) } : unknownHolder

/** The holder of `name`; undefined without one. */
const askHolder = async (name: string): Promise<Claimed | undefined> =>
  await new Promise((resolve, reject) => {
    const socket = connect({ path: name })
    let text = ''
    const finish = (holder: Claimed | undefined) => {
      socket.destroy()
      resolve(holder)
    }
    socket.setTimeout(respondWithinMs, () => finish(unknownHolder))
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      text = (text + chunk).slice(0, maxResponseLength)
    })
    socket.once('end', () => finish(readClaimed(text)))
    socket.once('error', (error) => {
      const code = String(errorCode(error))
      if (code === 'ECONNREFUSED') finish(undefined)
      else if (saysNothing.test(code)) finish(unknownHolder)
      else reject(error)
    })
  })

/**
 * In the folder, which only its owner can write. The file remains after a kill, so it is only valid for the pid that the socket reports.
 */
const noteFile = 'holder.json'

const writeNote = async (folder: string, note: unknown): Promise<void> => {
  const path = join(folder, noteFile)
  await writeFile(`${path}.${process.pid}`, JSON.stringify({ pid: process.pid, note }), {
    mode: 0o600,
  })
  await rename(`${path}.${process.pid}`, path)
}

const readNote = async (folder: string, pid: number): Promise<Pick<Holder, 'note'> | undefined> => {
  try {
    const written: unknown = JSON.parse(await readPrivateFile(join(folder, noteFile)))
    const { pid: writer, note }: Record<string, unknown> = Object(written)
    return writer === pid ? { note } : undefined
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/**
 * The process that uses the folder; undefined when none does or the folder does not exist.
 * @throws UnsafeFile when other users may have written the note
 */
export const findHolder = async (dataDir: string): Promise<Holder | undefined> => {
  if (process.platform !== 'linux') return undefined
  const folder = await realpath(dataDir).catch(() => undefined)
  if (folder === undefined) return undefined
  const claimed = await askHolder(socketName(folder))
  if (claimed?.pid === undefined) return claimed && { pid: undefined, note: undefined }
  // A process that has just locked the folder writes its note a moment later.
  const giveUpMs = performance.now() + respondWithinMs
  for (;;) {
    const found = await readNote(folder, claimed.pid)
    if (found !== undefined) return { pid: claimed.pid, note: found.note }
    if (performance.now() > giveUpMs) return { pid: claimed.pid, note: undefined }
    await pause(20)
  }
}

/**
 * Locks `dataDir` for this process until `release()` or its end. Creates a missing folder, with access for its owner only. Throws
 * `DataDirInUse` when another process, or this one, has locked it, `DataDirForbidden` when the folder belongs to another user, and
 * `UnsafeFile` when other users of the machine can change it. The lock protects against mistakes, not against attackers.
 *
 * @param note for processes that find the folder locked and may read it; never a secret
 */
export const lockDataDir = async (dataDir: string, note?: unknown): Promise<DataDirLock> => {
  if (process.platform !== 'linux') {
    throw new Error('embedded stores run on Linux; set DATABASE_URL')
  }
  await openFolder(resolve(dataDir))
  await assertPrivateFolder(dataDir)
  const folder = await realpath(dataDir)
  const name = socketName(folder)
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.end(String(process.pid))
  })
  try {
    server.listen({ path: name })
    await once(server, 'listening')
  } catch (cause) {
    if (errorCode(cause) !== 'EADDRINUSE') throw cause
    throw new DataDirInUse(resolve(dataDir), (await askHolder(name))?.pid)
  }
  // The lock must not keep the process alive.
  server.unref()
  try {
    await writeNote(folder, note)
  } catch (error) {
    server.close()
    throw error
  }
  return {
    release: async () => {
      if (!server.listening) return
      server.close()
      await once(server, 'close')
    },
  }
}
