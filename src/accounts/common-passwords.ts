import { readLongCommonPasswords } from './long-common-passwords.ts'

/** Why a password counts as one that guessers try first. */
export type Commonness = 'listed' | 'repeated' | 'joined'

export type CommonPasswords = {
  /** Judges the whole password, never a part of it; `undefined` when it is not common. Expects lower case. */
  readonly judge: (password: string) => Commonness | undefined
}

// Shorter passwords are below every policy this service allows (8 at least).
const shortestListed = 8

/** Pairs are made of this many from the top of the list: about 36,000 of them have 15 characters or more. */
const joinedFromTop = 500

/** A piece shorter than this adds nothing by being repeated, whether it is listed or not. */
const shortPiece = 8

/** Whether the text is one piece of `period` characters over and over (the last one may be cut off). */
const repeatsEvery = (text: string, period: number): boolean =>
  text.startsWith(text.slice(period)) && text.length >= 2 * period

const isRepeated = (text: string, listed: ReadonlySet<string>): boolean => {
  for (let period = 1; 2 * period <= text.length; period += 1) {
    const isWeakPiece = period < shortPiece || listed.has(text.slice(0, period))
    if (isWeakPiece && repeatsEvery(text, period)) return true
  }
  return false
}

const isJoined = (text: string, top: ReadonlySet<string>): boolean => {
  for (let cut = 1; cut < text.length; cut += 1) {
    if (top.has(text.slice(0, cut)) && top.has(text.slice(cut))) return true
  }
  return false
}

/** Builds the judge from a list in lower case, most common first, and another of long ones, which are only compared. */
export const commonPasswordsFrom = (
  ranked: readonly string[],
  long: readonly string[],
): CommonPasswords => {
  const listed = new Set([
    ...ranked.filter((password) => password.length >= shortestListed),
    ...long,
  ])
  const top = new Set(ranked.slice(0, joinedFromTop))
  return {
    judge: (password) => {
      if (listed.has(password)) return 'listed'
      if (isRepeated(password, listed)) return 'repeated'
      if (isJoined(password, top)) return 'joined'
      return undefined
    },
  }
}

let loaded: Promise<CommonPasswords> | undefined

/**
 * The lists that ship with the service, the same for everyone. Loaded when the first password is set and kept,
 * so that neither start-up nor an instance that only refreshes pays for it.
 * What they cover and what not: docs/decisions/0007-common-passwords.md.
 */
export const loadCommonPasswords = (): Promise<CommonPasswords> => {
  loaded ??= Promise.all([import('@zxcvbn-ts/language-common'), readLongCommonPasswords()]).then(
    ([{ dictionary }, long]) => commonPasswordsFrom(dictionary['passwords-common'], long),
  )
  return loaded
}
