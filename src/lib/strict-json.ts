/** Deeper nesting than this serves no request we know, and costs whoever walks the value. */
const maxDepth = 16

/** Why a text was refused. Names the rule, never the content: the message may go to the caller. */
export class StrictJsonError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'StrictJsonError'
  }
}

/** `ignoreBOM` keeps a byte order mark in the text, where `JSON.parse` refuses it (RFC 8259 section 8.1). */
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
    // The parser's own message quotes the text, which may be a password.
    throw new StrictJsonError('is not valid JSON')
  }
}

/**
 * One string literal of a text that is known to be valid JSON, and the colon that makes it a member name. There the closing quote is
 * never missing. It is optional all the same: a match that cannot fail takes linear time on any text.
 */
const literal = /"[^"\\]*(?:\\.[^"\\]*)*"?(\s*:)?/g

const memberNamesWritten = (text: string): number => {
  let count = 0
  for (const match of text.matchAll(literal)) if (match[1] !== undefined) count += 1
  return count
}

/** In a `u` expression a well-formed pair is one code point of another kind, so only lone halves match. */
const loneSurrogate = /\p{Surrogate}/u

/**
 * Strings that different layers read differently are refused: UTF-8 turns every lone surrogate into U+FFFD, so that
 * different texts would be hashed and stored alike (RFC 8259 section 8.2), and Postgres takes no U+0000.
 */
const checkText = (text: string): void => {
  if (loneSurrogate.test(text)) throw new StrictJsonError('holds a lone surrogate')
  if (text.includes('\u0000')) throw new StrictJsonError('holds U+0000')
}

/** Names through which a careless copy of the value would reach `Object.prototype`. */
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

/** Checks every string, name and number below `value`; the answer is how many members its objects have in all. */
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
 * Parses UTF-8 JSON that every reader understands alike. `JSON.parse` does the parsing; refused on top of what it
 * refuses: invalid UTF-8, a member named twice (the last would win here and the first elsewhere), names that reach
 * prototypes, lone surrogates, U+0000, numbers that are not finite, more than 16 levels.
 *
 * @throws {StrictJsonError} its message completes "the text …"
 */
export const parseStrictJson = (bytes: Uint8Array): unknown => {
  const text = decode(bytes)
  const value = parse(text)
  const membersKept = countMembers(value, 0)
  // Parsing keeps one member of each name, so a name written twice shows as a difference.
  if (memberNamesWritten(text) !== membersKept) {
    throw new StrictJsonError('names a member twice')
  }
  return value
}
