/** What was learnt from signatures that verified, by the digest of the token. Forgets the least recently used. */
export type SignatureCache<Value> = {
  readonly get: (digest: string) => Value | undefined
  /** `bytes` is what the value takes, roughly. */
  readonly set: (digest: string, value: Value, bytes: number) => void
  readonly size: () => number
}

/** `bytes` is compared with the sum of what `set` was told. */
type Limits = { readonly entries: number; readonly bytes: number }

/**
 * Bounded in number and in bytes. Two generations: what is used moves to the young one; when that is half of what is allowed, it
 * becomes the old one, and what nobody used meanwhile is gone. Costs one look-up or two, and no order to keep for each use.
 */
export const createSignatureCache = <Value>(limits: Limits): SignatureCache<Value> => {
  type Entry = { readonly value: Value; readonly bytes: number }
  let young = new Map<string, Entry>()
  let old = new Map<string, Entry>()
  let youngBytes = 0

  /** Makes an entry young, and turns the generations over when that was one too many. */
  const add = (digest: string, entry: Entry): void => {
    young.set(digest, entry)
    youngBytes += entry.bytes
    if (young.size < limits.entries / 2 && youngBytes < limits.bytes / 2) return
    old = young
    young = new Map()
    youngBytes = 0
  }

  return {
    get: (digest) => {
      const fresh = young.get(digest)
      if (fresh !== undefined) return fresh.value
      const used = old.get(digest)
      if (used === undefined) return undefined
      old.delete(digest)
      add(digest, used)
      return used.value
    },
    set: (digest, value, bytes) => {
      if (bytes > limits.bytes / 2 || limits.entries === 0) return
      old.delete(digest)
      add(digest, { value, bytes })
    },
    size: () => young.size + old.size,
  }
}
