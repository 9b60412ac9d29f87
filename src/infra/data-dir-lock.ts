import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, realpath } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { resolve } from 'node:path'

export type DataDirLock = { readonly release: () => Promise<void> }

/** Another process uses the folder. The message is for the operator. */
export class DataDirInUse extends Error {
  readonly dataDir: string
  /** The holder; undefined when it did not say (frozen, or just ending). */
  readonly pid: number | undefined

  constructor(dataDir: string, pid: number | undefined) {
    const holder = pid === undefined ? 'another process' : `process ${pid}`
    super(`${holder} already uses ${dataDir}: stop it, or set DATA_DIR to another folder`)
    this.name = 'DataDirInUse'
    this.dataDir = dataDir
    this.pid = pid
  }
}

/** How long a holder may take to say who it is. */
const answerWithinMs = 1000

/**
 * The name in Linux's abstract socket namespace (unix(7)): no file, so nothing is left over, and the kernel frees it with the process,
 * kill -9 included. It is seen within one network namespace: two containers that share a folder do not see each other.
 */
const socketName = (realFolder: string): string =>
  `\0cardea-${createHash('sha256').update(realFolder).digest('hex')}`

const errorCode = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined

/** Of a holder that is just ending, or has more to answer than it can. */
const saysNothing = /^(ECONNREFUSED|ECONNRESET|EPIPE|EAGAIN)$/

/** The pid of the holder of `name`; undefined when it does not say, or has let go meanwhile. */
const askHolder = async (name: string): Promise<number | undefined> =>
  await new Promise((answer, reject) => {
    const socket = connect({ path: name })
    let text = ''
    const finish = () => {
      socket.destroy()
      answer(/^\d+$/.test(text) ? Number(text) : undefined)
    }
    socket.setTimeout(answerWithinMs, finish)
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      text = (text + chunk).slice(0, 16)
    })
    socket.once('end', finish)
    socket.once('error', (error) => {
      if (saysNothing.test(String(errorCode(error)))) finish()
      else reject(error)
    })
  })

/**
 * Makes this process the one user of `dataDir`, which is made (for its owner only) when missing, until `release()` or its end. Throws
 * `DataDirInUse` when another process, or this one, already is. It guards against mistakes, not against other users of the machine.
 */
export const lockDataDir = async (dataDir: string): Promise<DataDirLock> => {
  if (process.platform !== 'linux') {
    throw new Error('embedded stores run on Linux; set DATABASE_URL')
  }
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const name = socketName(await realpath(dataDir))
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.end(String(process.pid))
  })
  try {
    server.listen({ path: name })
    await once(server, 'listening')
  } catch (cause) {
    if (errorCode(cause) !== 'EADDRINUSE') throw cause
    throw new DataDirInUse(resolve(dataDir), await askHolder(name))
  }
  // The lock must not keep a process alive that has nothing else to do.
  server.unref()
  return {
    release: async () => {
      if (!server.listening) return
      server.close()
      await once(server, 'close')
    },
  }
}
