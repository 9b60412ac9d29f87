import type { Dice } from './dice.ts'

/** A program that can stop for a while, as under SIGSTOP or a long collection of garbage: what is due to it then comes when it goes on. */
export type Process = { frozenUntilMs: number }

type Due = {
  atMs: number
  isCancelled: boolean
  /** Decides between what is due in the same millisecond. */
  readonly tie: number
  readonly text: string
  readonly process: Process | undefined
  readonly run: () => void
}

export type Timeline = {
  /** The one true time, milliseconds since the Unix epoch. No clock of the product is asked, they all are wrong in their own ways. */
  readonly nowMs: () => number
  /** Plans something; the answer takes it off again. */
  readonly after: (delayMs: number, text: string, run: () => void, process?: Process) => () => void
  /** Resolves then. Without a delay it resolves at once and no step is spent. */
  readonly pause: (delayMs: number, text: string, process?: Process) => Promise<void>
  /** Goes on to what is due next and does it. False when nothing is planned. */
  readonly step: () => boolean
  /** Kept for the message of a failure. */
  readonly note: (text: string) => void
  readonly lastNotes: () => readonly string[]
}

const keptNotes = 30

const isBefore = (one: Due, other: Due): boolean =>
  one.atMs === other.atMs ? one.tie < other.tie : one.atMs < other.atMs

/** A binary heap: thousands of things are planned at once. */
const queue = () => {
  const heap: Due[] = []
  const swap = (one: number, other: number) => {
    const kept = heap[one] as Due
    heap[one] = heap[other] as Due
    heap[other] = kept
  }
  /** Of a place and the two below it, the one that is due first. */
  const firstAround = (place: number): number => {
    let first = place
    for (const below of [2 * place + 1, 2 * place + 2]) {
      if (below < heap.length && comesFirst(below, first)) first = below
    }
    return first
  }
  const comesFirst = (one: number, other: number) => isBefore(heap[one] as Due, heap[other] as Due)
  return {
    add: (due: Due) => {
      let place = heap.push(due) - 1
      while (place > 0) {
        const parent = (place - 1) >> 1
        if (!comesFirst(place, parent)) return
        swap(place, parent)
        place = parent
      }
    },
    take: (): Due | undefined => {
      const first = heap[0]
      const last = heap.pop()
      if (!first || !last || first === last) return first
      heap[0] = last
      for (let place = 0; ; ) {
        const next = firstAround(place)
        if (next === place) return first
        swap(place, next)
        place = next
      }
    },
  }
}

/** Everything that happens, in the order in which it happens: chance decides between what is due at the same moment. */
export const timeline = (dice: Dice, startMs: number): Timeline => {
  const planned = queue()
  const notes: string[] = []
  let nowMs = startMs

  const note = (text: string) => {
    notes.push(`${((nowMs - startMs) / 1000).toFixed(3)} s  ${text}`)
    if (notes.length > keptNotes) notes.shift()
  }
  const after: Timeline['after'] = (delayMs, text, run, process) => {
    const due: Due = {
      atMs: nowMs + Math.max(0, delayMs),
      isCancelled: false,
      tie: dice.next(2 ** 31),
      text,
      run,
      process,
    }
    planned.add(due)
    return () => {
      due.isCancelled = true
    }
  }
  const step = (): boolean => {
    for (;;) {
      const due = planned.take()
      if (!due) return false
      if (due.isCancelled) continue
      nowMs = due.atMs
      if (due.process && due.process.frozenUntilMs > nowMs) {
        due.atMs = due.process.frozenUntilMs
        planned.add(due)
        continue
      }
      note(due.text)
      due.run()
      return true
    }
  }
  return {
    nowMs: () => nowMs,
    after,
    pause: (delayMs, text, process) =>
      delayMs <= 0
        ? Promise.resolve()
        : new Promise((resolve) => after(delayMs, text, resolve, process)),
    step,
    note,
    lastNotes: () => notes,
  }
}
