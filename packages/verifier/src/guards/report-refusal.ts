import { emitWarning } from 'node:process'
import type { Refusal } from './refusal.ts'

/** Called for each refusal, for the log and for metrics. If it throws, the error becomes a warning of the process. */
export type OnRefusal = (refusal: Refusal) => void

const warn = (error: unknown): void =>
  emitWarning(error instanceof Error ? error : new Error(String(error)))

/** Without a listener, only unexpected errors are reported: they are faults of the program, not of a caller. */
const warnOfSurprise: OnRefusal = ({ code, error }) => {
  if (code === 'internal_error') warn(error)
}

/** Reports a refusal once. An error in the listener can neither change the response nor end the process. */
export const reportRefusal = (refusal: Refusal, onRefusal: OnRefusal = warnOfSurprise): void => {
  try {
    onRefusal(refusal)
  } catch (error) {
    warn(error)
  }
}
