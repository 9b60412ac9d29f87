import type { VerifierState } from './verifier.ts'

type Dependencies = {
  readonly current: () => VerifierState
  readonly onChange: (state: VerifierState) => void
}

/** Detects changes of the state, and lets callers wait for the first good one. */
export type StateWatch = {
  /** Call it whenever something happened that may have changed the state. */
  readonly look: () => void
  /** Resolves when the state is FRESH or OFF. Rejects when the signal aborts, or with the argument of `end`. */
  readonly ready: (signal?: AbortSignal) => Promise<void>
  readonly end: (reason: Error) => void
}

/** States in which `ready` resolves. */
const isGood = (state: VerifierState): boolean => state === 'FRESH' || state === 'OFF'

/** Uses no timer: the followers of keys and revocations report events. */
export const watchState = ({ current, onChange }: Dependencies): StateWatch => {
  type Waiting = { readonly resolve: () => void; readonly reject: (reason: unknown) => void }
  const waiting = new Set<Waiting>()
  let last: VerifierState = 'LOADING'
  let ended: Error | undefined

  const look = (): void => {
    const state = current()
    if (isGood(state)) for (const { resolve } of waiting) resolve()
    if (state === last) return
    last = state
    onChange(state)
  }

  const wait = (signal: AbortSignal | undefined): Promise<void> =>
    new Promise((resolve, reject) => {
      const leave = () => {
        waiting.delete(entry)
        signal?.removeEventListener('abort', abort)
      }
      const entry: Waiting = {
        resolve: () => {
          leave()
          resolve()
        },
        reject: (reason) => {
          leave()
          reject(reason)
        },
      }
      const abort = () => entry.reject(signal?.reason)
      signal?.addEventListener('abort', abort, { once: true })
      waiting.add(entry)
    })

  return {
    look,
    ready: async (signal) => {
      signal?.throwIfAborted()
      if (ended !== undefined) throw ended
      if (!isGood(current())) await wait(signal)
    },
    end: (reason) => {
      ended = reason
      for (const { reject } of waiting) reject(reason)
    },
  }
}
