/** Results of verified signatures, by the digest of the token. Drops the least recently used. */
export type SignatureCache<Value> = {
  readonly get: (digest: string) => Value | undefined
  /** `bytes` is the approximate size of the value. */
  readonly set: (digest: string, value: Value, bytes: number) => void
  readonly size: () => number
}

/** `bytes` limits the sum of the sizes passed to `set`. */
type Limits = { readonly entries: number; readonly bytes: number }

/**
 * Limited in number and in bytes. It has two generations: a used entry moves to the young one. When that reaches half of the limit, it
 * becomes the old one, and entries that were not used meanwhile are dropped. This costs one or two lookups, and no order must be kept for
 * each use.
 */
export const createSignatureCache = <Value>(limits: Limits): SignatureCache<Value> => {
  type Entry = { readonly value: Value; readonly bytes: number }
  let young = new Map<string, Entry>()
  let old = new Map<string, Entry>()
  let youngBytes = 0

  /** Makes an entry young, and exchanges the generations when the young one is full. */
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
