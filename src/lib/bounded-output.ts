import { constants, openSync, write, writeSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { isatty } from 'node:tty'

/** The maximum of waiting text, in characters. Beyond it text is dropped, because memory must not grow while the log cannot be written. */
const maxWaiting = 1024 * 1024

/** Write when this many characters have gathered, because each write costs the event loop as much as a tenth of a refresh, */
const gatheredEnough = 32 * 1024

/** or after this many milliseconds, whichever comes first. */
const flushEveryMs = 200

/** The maximum bytes of one write: as much as an empty pipe on Linux takes. */
const chunkBytes = 64 * 1024

/** How soon a write to a full pipe is retried; doubles up to the maximum. A slow reader loses nothing. */
const firstRetryMs = 5
const longestRetryMs = 100

/** How soon a write is retried to a full disk or to a pipe without a reader. */
const brokenRetryMs = 1_000

const isFull = ({ code }: NodeJS.ErrnoException): boolean => code === 'EAGAIN' || code === 'EBUSY'

/**
 * A write to a pipe, a socket or a terminal must fail with EAGAIN while its reader is blocked. For a pipe and a socket libuv sets that mode
 * when `process.stdout` or `process.stderr` is first accessed. A terminal shares its mode with the shell, so it is opened separately. Files
 * have no such mode: a write to a slow disk waits in a thread of the pool.
 */
const nonBlocking = (fd: 1 | 2): number => {
  const stream = fd === 1 ? process.stdout : process.stderr
  // Cardea does not write to it, but an error from a library's write must not end the process.
  stream.on('error', () => undefined)
  if (!isatty(fd)) return fd
  try {
    return openSync(`/dev/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    return fd
  }
}

/** Standard output (1) or standard error (2). Neither a full disk nor a blocked reader can block or end the process. */
export class BoundedOutput {
  readonly #fd: number
  #gathered = ''
  /** The part of the gathered text that is being written. */
  #chunk: Buffer = Buffer.alloc(0)
  #isUnderWay = false
  #retryMs = 0
  #timer: NodeJS.Timeout | undefined
  #dropped = 0
  #onDropped: ((count: number) => void) | undefined
  #isClosed = false
  /** Set while closing; called when nothing is left to write. */
  #onIdle: (() => void) | undefined

  constructor(standard: 1 | 2) {
    this.#fd = nonBlocking(standard)
  }

  /** Queues the text, or drops it when too much is waiting. Never blocks, never throws, never waits for the reader. */
  write(text: string): void {
    if (this.#isClosed) return
    if (this.#gathered.length + this.#chunk.length + text.length > maxWaiting) {
      this.#dropped += 1
      return
    }
    this.#gathered += text
    // A running or failed write must finish first.
    if (this.#chunk.length > 0) return
    if (this.#gathered.length >= gatheredEnough) this.#step()
    else if (!this.#timer) this.#plan(flushEveryMs)
  }

  /** Writes the gathered text now. */
  flush(): void {
    if (this.#chunk.length === 0) this.#step()
  }

  /** Whether texts were dropped and their number could not be reported yet. */
  isDropping(): boolean {
    return this.#dropped > 0
  }

  /** `report` is called with the number of dropped texts as soon as there is room again. */
  onDropped(report: (count: number) => void): void {
    this.#onDropped = report
  }

  /**
   * Writes the waiting text, for at most `withinMs`, and accepts no more. Returns false when the kernel still holds a write, for example to
   * a hanging disk. Node then waits for that write when it exits, possibly forever.
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

  /** For a process that exits without `close`: tries once to write the waiting text. */
  writeRest(): void {
    if (this.#isUnderWay || this.#isClosed) return
    try {
      let rest = Buffer.concat([this.#chunk, Buffer.from(this.#gathered)])
      while (rest.length > 0) rest = rest.subarray(writeSync(this.#fd, rest))
    } catch {
      // The process is ending and has no other output.
    }
  }

  #plan(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#step(), ms)
    // Until it is closed it does not keep the process alive.
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
      // When closing, it does not wait for a full disk.
      this.#onIdle()
    } else {
      this.#plan(brokenRetryMs)
    }
  }

  /** Waits until half of the room is free, so that an output that is only slow is not reported with every chunk. */
  #reportDropped(): void {
    if (this.#dropped === 0 || !this.#onDropped || this.#gathered.length > maxWaiting / 2) return
    const count = this.#dropped
    this.#dropped = 0
    this.#onDropped(count)
  }
}
