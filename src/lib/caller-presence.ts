import { type AppError, defineErrors } from './app-error.ts'

/** Whether somebody still waits for the response. Absent where no connection stands behind an act: a command, a simulation. */
export type CallerPresence = {
  /** As far as is known at this moment. A close arrives as an event, so a process that stood still learns of it late. */
  readonly isCallerGone?: () => boolean
  /** The same after a moment in which a close that has happened already can arrive. */
  readonly isCallerConnected?: () => Promise<boolean>
  /** How long the request has waited in this process, with how long that stood still before it read the request. Milliseconds. */
  readonly waitedMs?: () => number
}

/** Whether the caller is known to have gone, after a moment in which that can be heard of. */
export const hasCallerLeft = async ({ isCallerConnected }: CallerPresence): Promise<boolean> =>
  isCallerConnected !== undefined && !(await isCallerConnected())

export const presenceErrors = defineErrors({
  // The number that proxies log for it. Below 500: nothing is wrong here, and nobody is to be woken.
  caller_gone: { status: 499, title: 'The caller left before the request was served.' },
})

/** Ends the work for a caller who has gone. The response goes nowhere, so no client ever sees this. */
export const callerGone = (): AppError => presenceErrors.error('caller_gone')
