import { constants, openSync, write, writeSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { isatty } from 'node:tty'

/** Text that waits for its reader or for room on the disk, characters. More is dropped: memory must not grow with an outage of the log. */
const maxWaiting = 1024 * 1024

/** Written when this much has gathered, characters, because each write costs the event loop as much as a tenth of a refresh, */
const gatheredEnough = 32 * 1024

/** or after this long, milliseconds, whichever comes first. */
const flushEveryMs = 200

/** One call writes no more, bytes: as much as an empty pipe of Linux takes. */
const chunkBytes = 64 * 1024

/** How soon a full pipe is tried again; doubles up to the longest. A reader that is only slow loses nothing. */
const firstRetryMs = 5
const longestRetryMs = 100

/** How soon a full disk, or a pipe that nobody holds open any more, is tried again. */
const brokenRetryMs = 1_000

const isFull = ({ code }: NodeJS.ErrnoException): boolean => code === 'EAGAIN' || code === 'EBUSY'

/**
 * A write to a pipe, a socket or a terminal must fail with EAGAIN while its reader stands still. For a pipe and a socket libuv sets
 * that mode when `process.stdout` or `process.stderr` is first looked at. A terminal shares its mode with the shell, so it is opened
 * anew. Files have no such mode: a write to a slow disk waits in a thread of the pool.
 */
const nonBlocking = (fd: 1 | 2): number => {
  const stream = fd === 1 ? process.stdout : process.stderr
  // Nothing of ours is written by it; what a library writes there must not end the process.
  stream.on('error', () => undefined)
  if (!isatty(fd)) return fd
  try {
    return openSync(`/dev/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    return fd
  }
}

/** Standard output (1) or standard error (2), so that neither a full disk nor a reader that stands still stops or ends the process. */
export class BoundedOutput {
  readonly #fd: number
  #gathered = ''
  /** Taken from what has gathered and not written yet. */
  #chunk: Buffer = Buffer.alloc(0)
  #isUnderWay = false
  #retryMs = 0
  #timer: NodeJS.Timeout | undefined
  #dropped = 0
  #tellDropped: ((count: number) => void) | undefined
  #isClosed = false
  /** While closing: told when nothing is left to do. */
  #onIdle: (() => void) | undefined

  constructor(standard: 1 | 2) {
    this.#fd = nonBlocking(standard)
  }

  /** Takes the text, or drops it when too much waits already. Never blocks, never throws, never waits for the reader. */
  write(text: string): void {
    if (this.#isClosed) return
    if (this.#gathered.length + this.#chunk.length + text.length > maxWaiting) {
      this.#dropped += 1
      return
    }
    this.#gathered += text
    // What is under way, or waits to be tried again, goes first.
    if (this.#chunk.length > 0) return
    if (this.#gathered.length >= gatheredEnough) this.#step()
    else if (!this.#timer) this.#plan(flushEveryMs)
  }

  /** Writes what has gathered now, and not when there is more. */
  flush(): void {
    if (this.#chunk.length === 0) this.#step()
  }

  /** Whether texts were dropped and nobody could be told yet. */
  isDropping(): boolean {
    return this.#dropped > 0
  }

  /** `tell` is given how many texts were dropped, as soon as there is room again. */
  onDropped(tell: (count: number) => void): void {
    this.#tellDropped = tell
  }

  /**
   * Writes what waits, for `withinMs` at most, and takes nothing more. False: the kernel still holds a write, for example to a disk
   * that hangs. Node then waits for that write when it exits, for ever if need be.
   */
  async close(withinMs: number): Promise<boolean> {
    const waiting = new AbortController()
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve
    })
    this.#isClosed = true
    this.#step()
    const late = pause(withinMs, undefined, { signal: waiting.signal }).catch(() => undefined)
    await Promise.race([idle, late])
    waiting.abort()
    clearTimeout(this.#timer)
    return !this.#isUnderWay
  }

  /** For a process that exits without `close`: one try to write what waits. */
  writeRest(): void {
    if (this.#isUnderWay || this.#isClosed) return
    try {
      let rest = Buffer.concat([this.#chunk, Buffer.from(this.#gathered)])
      while (rest.length > 0) rest = rest.subarray(writeSync(this.#fd, rest))
    } catch {
      // The process is ending, and there is nobody left to tell.
    }
  }

  #plan(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#step(), ms)
    // Until it is closed it keeps no process alive.
    if (!this.#onIdle) this.#timer.unref()
  }

  #step(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#isUnderWay) return
    if (this.#chunk.length === 0) {
      this.#chunk = Buffer.from(this.#gathered)
      this.#gathered = ''
    }
    if (this.#chunk.length === 0) {
      this.#onIdle?.()
      return
    }
    this.#isUnderWay = true
    const bytes = Math.min(this.#chunk.length, chunkBytes)
    write(this.#fd, this.#chunk, 0, bytes, null, (error, written) => {
      this.#isUnderWay = false
      if (error) this.#retry(error)
      else this.#goOn(written)
    })
  }

  #goOn(written: number): void {
    this.#retryMs = 0
    this.#chunk = this.#chunk.subarray(written)
    this.#reportDropped()
    const isMoreDue = this.#chunk.length > 0 || this.#gathered.length >= gatheredEnough
    if (isMoreDue || this.#onIdle) this.#step()
    else if (this.#gathered !== '') this.#plan(flushEveryMs)
  }

  #retry(error: NodeJS.ErrnoException): void {
    if (isFull(error)) {
      this.#retryMs = Math.min(longestRetryMs, Math.max(firstRetryMs, this.#retryMs * 2))
      this.#plan(this.#retryMs)
    } else if (this.#onIdle) {
      // At the end a disk that is full is not waited for.
      this.#onIdle()
    } else {
      this.#plan(brokenRetryMs)
    }
  }

  /** With half of the room free again, so that an output that is only too slow is not reported with every chunk. */
  #reportDropped(): void {
    if (this.#dropped === 0 || !this.#tellDropped || this.#gathered.length > maxWaiting / 2) return
    const count = this.#dropped
    this.#dropped = 0
    this.#tellDropped(count)
  }
}
