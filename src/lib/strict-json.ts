/** No known request needs deeper nesting, and walking the value costs time. */
const maxDepth = 16

/** Why a text was refused. It names the rule and never the content, because the caller may see the message. */
export class StrictJsonError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'StrictJsonError'
  }
}

/** `ignoreBOM` keeps a byte order mark in the text, and `JSON.parse` then refuses it (RFC 8259 section 8.1). */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const decode = (bytes: Uint8Array): string => {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new StrictJsonError('is not valid UTF-8')
  }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message quotes the text, which may contain a password.
    throw new StrictJsonError('is not valid JSON')
  }
}

/**
 * One string literal of valid JSON, with the colon that makes it a member name. The closing quote is always there, but it is optional in
 * the expression: a match that cannot fail takes linear time on any text.
 */
const literal = /"[^"\\]*(?:\\.[^"\\]*)*"?(\s*:)?/g

const memberNamesWritten = (text: string): number => {
  let count = 0
  for (const match of text.matchAll(literal)) if (match[1] !== undefined) count += 1
  return count
}

/** In a `u` expression a valid pair is one code point of another category, so only lone surrogates match. */
const loneSurrogate = /\p{Surrogate}/u

/**
 * Refuses strings that layers read differently: UTF-8 replaces every lone surrogate by U+FFFD, so different texts would be hashed and
 * stored alike (RFC 8259 section 8.2), and Postgres does not accept U+0000.
 */
const checkText = (text: string): void => {
  if (loneSurrogate.test(text)) throw new StrictJsonError('holds a lone surrogate')
  if (text.includes('\u0000')) throw new StrictJsonError('holds U+0000')
}

/** Refuses names with which a careless copy of the value would reach `Object.prototype`. */
const checkName = (name: string, value: unknown): void => {
  checkText(name)
  const reachesPrototype =
    name === '__proto__' ||
    (name === 'constructor' &&
      typeof value === 'object' &&
      value !== null &&
      Object.hasOwn(value, 'prototype'))
  if (reachesPrototype) throw new StrictJsonError('has a member name that is not allowed')
}

/** Checks every string, name and number below `value`. Returns the total number of members of its objects. */
const countMembers = (value: unknown, depth: number): number => {
  if (typeof value === 'string') checkText(value)
  // 1e309 is valid JSON and parses to Infinity.
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new StrictJsonError('holds a number that is out of range')
  }
  if (typeof value !== 'object' || value === null) return 0
  if (depth === maxDepth) throw new StrictJsonError('is nested too deeply')
  if (Array.isArray(value)) {
    return value.reduce<number>((count, item) => count + countMembers(item, depth + 1), 0)
  }
  let count = 0
  for (const [name, member] of Object.entries(value)) {
    checkName(name, member)
    count += 1 + countMembers(member, depth + 1)
  }
  return count
}

/**
 * Parses UTF-8 JSON that every parser understands in the same way. `JSON.parse` does the parsing. Also refused: invalid UTF-8, a repeated
 * member (parsers differ in which one they keep), names that reach prototypes, lone surrogates, U+0000, numbers that are not finite, more
 * than 16 levels.
 *
 * @throws {StrictJsonError} its message completes "the text …"
 */
export const parseStrictJson = (bytes: Uint8Array): unknown => {
  const text = decode(bytes)
  const value = parse(text)
  const membersKept = countMembers(value, 0)
  // The parser keeps one member of each name, so a repeated name shows as a difference.
  if (memberNamesWritten(text) !== membersKept) {
    throw new StrictJsonError('names a member twice')
  }
  return value
}
