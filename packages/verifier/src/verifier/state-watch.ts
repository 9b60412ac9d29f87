import type { VerifierState } from './verifier.ts'

type Dependencies = {
  readonly current: () => VerifierState
  readonly onChange: (state: VerifierState) => void
}

/** Notices changes of the state, and lets others wait for the first good one. */
export type StateWatch = {
  /** To be called whenever something happened that may have changed the state. */
  readonly look: () => void
  /** Resolves when the state is FRESH or OFF; rejects when the signal aborts, or with what `end` was given. */
  readonly ready: (signal?: AbortSignal) => Promise<void>
  readonly end: (reason: Error) => void
}

/** There is nothing left to wait for. */
const isGood = (state: VerifierState): boolean => state === 'FRESH' || state === 'OFF'

/** Keeps no timer: those who follow keys and revocations say when something happened. */
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
