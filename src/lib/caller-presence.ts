import { type AppError, defineErrors } from './app-error.ts'

/** Whether the caller still waits for the response. Absent without a connection: a command, a simulation. */
export type CallerPresence = {
  /** As far as is known at this moment. A close arrives as an event, so a process that was stalled learns of it late. */
  readonly isCallerGone?: () => boolean
  /** The same after a short wait, in which a close that has already happened can arrive. */
  readonly isCallerConnected?: () => Promise<boolean>
  /** How long the request has waited in this process, plus how long the process was stalled before it read the request. Milliseconds. */
  readonly waitedMs?: () => number
}

/** Whether the caller has disconnected, checked after a short wait in which the close can arrive. */
export const hasCallerLeft = async ({ isCallerConnected }: CallerPresence): Promise<boolean> =>
  isCallerConnected !== undefined && !(await isCallerConnected())

export const presenceErrors = defineErrors({
  // The status that proxies log for this case. Below 500, because it is no fault of the service and must not alert anybody.
  caller_gone: { status: 499, title: 'The caller left before the request was served.' },
})

/** Ends the work for a caller that has disconnected. No client ever sees this response. */
export const callerGone = (): AppError => presenceErrors.error('caller_gone')
