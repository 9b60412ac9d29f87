import type { Verifier, VerifierEvents } from './verifier.ts'

/** The listeners by event. Unlike with an EventEmitter, an `error` without a listener does not end the process. */
export type Events = Pick<Verifier, 'on' | 'off'> & {
  readonly emit: <Name extends keyof VerifierEvents>(
    name: Name,
    event: VerifierEvents[Name],
  ) => void
}

type Listeners = {
  readonly [Name in keyof VerifierEvents]: Set<(event: VerifierEvents[Name]) => void>
}

/** A listener that throws must stop neither the other listeners nor the following of keys and revocations. */
const warn = (error: unknown): void => {
  process.emitWarning(error instanceof Error ? error : new Error(String(error)))
}

/** Listeners are called in turn, synchronously, in the order of their registration. One that is added twice is called once. */
export const createEvents = (): Events => {
  const listeners: Listeners = {
    state: new Set(),
    snapshot: new Set(),
    keys: new Set(),
    error: new Set(),
  }
  return {
    on: (name, listener) => {
      listeners[name].add(listener)
    },
    off: (name, listener) => {
      listeners[name].delete(listener)
    },
    emit: (name, event) => {
      for (const listener of listeners[name]) {
        try {
          listener(event)
        } catch (error) {
          warn(error)
        }
      }
    },
  }
}
