import type { Clock } from './clock.ts'

/** The other side did not respond in time. A connection can be open but dead. */
class CallTimeout extends Error {
  override readonly name = 'CallTimeout'
}

/** Whether a call was given up because it took too long. */
export const isTimeout = (error: unknown): boolean => error instanceof CallTimeout

/**
 * Makes a call that is given up after `timeoutMs`, or as soon as `stop` aborts, even if the call ignores its signal: a later result is
 * dropped. Leaves no timer and no listener behind.
 */
export const callWithin = async <T>(
  clock: Pick<Clock, 'sleep'>,
  timeoutMs: number,
  stop: AbortSignal,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  stop.throwIfAborted()
  const giveUp = new AbortController()
  // Ends the timer when the call is over.
  const finished = new AbortController()
  const onStop = () => giveUp.abort(stop.reason)
  stop.addEventListener('abort', onStop, { once: true })
  const givenUp = new Promise<never>((_, reject) => {
    giveUp.signal.addEventListener('abort', () => reject(giveUp.signal.reason), { once: true })
  })
  const timer = clock.sleep(timeoutMs, finished.signal).then(() => {
    if (finished.signal.aborted) return
    giveUp.abort(new CallTimeout(`no response within ${Math.round(timeoutMs)} ms`))
  })
  try {
    return await Promise.race([call(giveUp.signal), givenUp])
  } finally {
    finished.abort()
    stop.removeEventListener('abort', onStop)
    await timer
  }
}
