import { emitWarning } from 'node:process'
import type { Refusal } from './refusal.ts'

/** Told of each refusal, for the log and for metrics. What it throws becomes a warning of the process. */
export type OnRefusal = (refusal: Refusal) => void

const warn = (error: unknown): void =>
  emitWarning(error instanceof Error ? error : new Error(String(error)))

/** Without a listener, only what nobody expected is worth a line: it is a fault of the program, not of a caller. */
const warnOfSurprise: OnRefusal = ({ code, error }) => {
  if (code === 'internal_error') warn(error)
}

/** A refusal is told once, and telling it can never turn into an answer or the end of the process. */
export const tellRefusal = (refusal: Refusal, onRefusal: OnRefusal = warnOfSurprise): void => {
  try {
    onRefusal(refusal)
  } catch (error) {
    warn(error)
  }
}
