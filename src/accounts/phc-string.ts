/** What argon2id is asked to spend. The tag is always 32 bytes, the version always 19 (0x13). */
export type Argon2Parameters = {
  readonly memoryKib: number
  /** How many times the memory is gone over. */
  readonly passes: number
  readonly lanes: number
}

export type ParsedHash = Argon2Parameters & {
  readonly saltBytes: number
  readonly tagBytes: number
}

// A stored hash names its own cost. Anyone who can write one row could otherwise make each sign-in to it
// take gigabytes or minutes, so what is beyond every sensible policy is refused, never computed.
const most: Argon2Parameters = { memoryKib: 262_144, passes: 16, lanes: 16 }

const expression =
  /^\$argon2id\$v=19\$m=([1-9]\d{0,9}),t=([1-9]\d{0,9}),p=([1-9]\d{0,9})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/

/** Bytes behind so many characters of base64 without padding. */
const bytesOf = (base64: string | undefined): number => Math.floor(((base64?.length ?? 0) * 3) / 4)

/** Throws a RangeError for a cost that is impossible for argon2 (RFC 9106 section 3.1) or beyond the limits here. */
export const assertSaneCost = ({ memoryKib, passes, lanes }: Argon2Parameters): void => {
  const sane =
    [memoryKib, passes, lanes].every((value) => Number.isInteger(value) && value >= 1) &&
    memoryKib >= 8 * lanes &&
    memoryKib <= most.memoryKib &&
    passes <= most.passes &&
    lanes <= most.lanes
  if (!sane) {
    throw new RangeError(
      `argon2id with m=${memoryKib} KiB, t=${passes}, p=${lanes} is refused: at most m=${most.memoryKib}, t=${most.passes}, p=${most.lanes}, at least m=8p`,
    )
  }
}

/**
 * Reads an argon2id hash as `formatPhc` and the reference implementation write it. Throws when it is anything else or when its
 * cost is refused; the message never holds the salt or the tag.
 */
export const parsePhc = (phc: string): ParsedHash => {
  const found = expression.exec(phc)
  if (!found) throw new Error('a stored password hash is not an argon2id PHC string of version 19')
  const [, memory, passes, lanes, salt, tag] = found
  const cost = { memoryKib: Number(memory), passes: Number(passes), lanes: Number(lanes) }
  assertSaneCost(cost)
  return { ...cost, saltBytes: bytesOf(salt), tagBytes: bytesOf(tag) }
}

/** Without padding, as PHC strings have it; `=` stands nowhere else. */
const base64 = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '')

/** Writes a PHC string from its parts. */
export const formatPhc = (cost: Argon2Parameters, salt: Buffer, tag: Buffer): string =>
  `$argon2id$v=19$m=${cost.memoryKib},t=${cost.passes},p=${cost.lanes}$${base64(salt)}$${base64(tag)}`
