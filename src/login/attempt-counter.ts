import type { AttemptWindow } from './login-limits.ts'

/** How full the present window of a key is. */
export type WindowState = {
  /** What was counted, beyond the budget too. */
  readonly count: number
  /** What the window admits: lower than asked for while a local budget stands in for the shared one. */
  readonly budget: number
  /** Milliseconds until the window ends and the count starts again at zero. */
  readonly endsInMs: number
}

export type TakenPoint = WindowState & {
  /** Takes the point out of the count again, in the store that counted it, while that window lasts. */
  readonly giveBack: () => Promise<void>
}

/** Counts by key in windows that begin with the first point and are not made longer by later ones. */
export type AttemptCounter = {
  /** Counts one point and reads the state in one atomic step, so that parallel attempts cannot all see room. */
  readonly take: (key: string) => Promise<TakenPoint>
  /** Undefined: no window is open for the key. */
  readonly look: (key: string) => Promise<WindowState | undefined>
  readonly clear: (key: string) => Promise<void>
}

/** One counter for each limit. The name tells their keys apart. */
export type AttemptCounters = (name: string, window: AttemptWindow) => AttemptCounter
