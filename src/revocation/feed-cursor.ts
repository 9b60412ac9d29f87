import { ImpossibleRevocation } from './revocation.ts'

/**
 * The position of a reader in the log: a snapshot of Postgres (`pg_current_snapshot`). The reader has the rows of every transaction below
 * `next`, except those that were still running.
 */
export type FeedCursor = {
  /** Transactions below `next` that had not ended, ascending. */
  readonly running: readonly bigint[]
  /** The first transaction number that had not been assigned. */
  readonly next: bigint
}

/** The maximum length in the feed format (`isLabel` in the verifier), accepted by verifiers of any version. */
const maxLength = 255

const largest = 2n ** 64n - 1n

/** Parses the format of Postgres: `xmin:xmax:xip,xip`. The lowest running transaction is xmin. */
export const cursorOfSnapshot = (snapshot: string): FeedCursor => {
  const [, next, running] = snapshot.split(':')
  if (next === undefined || running === undefined) throw new ImpossibleRevocation('no snapshot')
  return { running: running === '' ? [] : running.split(',').map(BigInt), next: BigInt(next) }
}

/**
 * `<number>` or `<number>.<gap>.<gap>`: the running transactions and `next`, ascending. Each gap is the difference to the previous number,
 * in base 36.
 *
 * Any prefix of this list is a cursor that has seen less, never more. So a list that is too long is cut: the reader gets some rows again,
 * and the long transactions, which are the oldest, stay in. A single number is the cursor of earlier versions: every transaction below it
 * has ended.
 */
export const cursorText = ({ running, next }: FeedCursor): string => {
  let text = ''
  let last: bigint | undefined
  for (const number of [...running, next]) {
    const part = last === undefined ? String(number) : `.${(number - last).toString(36)}`
    if (text.length + part.length > maxLength) break
    text += part
    last = number
  }
  return text
}

/** One spelling for each cursor: no signs, no leading zeros, no empty gaps. */
const form = /^(?:0|[1-9]\d{0,19})(?:\.[1-9a-z][0-9a-z]{0,12})*$/

const fromBase36 = (text: string): bigint => {
  let number = 0n
  for (const digit of text) number = number * 36n + BigInt(Number.parseInt(digit, 36))
  return number
}

/** Undefined for a text that no version issues. */
export const parseCursor = (text: string): FeedCursor | undefined => {
  if (text.length > maxLength || !form.test(text)) return undefined
  const [first = '', ...gaps] = text.split('.')
  const numbers = [BigInt(first)]
  let next = BigInt(first)
  for (const gap of gaps) {
    next += fromBase36(gap)
    numbers.push(next)
  }
  return next > largest ? undefined : { running: numbers.slice(0, -1), next }
}

/** Whether a reader at this cursor has the rows of this transaction. */
export const hasSeen = ({ running, next }: FeedCursor, transaction: bigint): boolean =>
  transaction < next && !running.includes(transaction)

/** The cursor that has seen what all of these have seen. A read from there returns everything that any of them lacks. At least one. */
export const commonCursor = (cursors: readonly FeedCursor[]): FeedCursor => {
  const next = cursors.reduce(
    (least, cursor) => (cursor.next < least ? cursor.next : least),
    largest,
  )
  const running = new Set<bigint>()
  for (const cursor of cursors) {
    for (const transaction of cursor.running) if (transaction < next) running.add(transaction)
  }
  return { running: [...running].sort((a, b) => (a < b ? -1 : 1)), next }
}
