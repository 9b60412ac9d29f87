import {
  decodeFeedBinary,
  encodeFeedBinary,
  type RevocationEntries,
  type RevocationEntry,
} from '../../packages/verifier/src/wire.ts'

/** Entries in the form they travel in, about 20 bytes each, and objects only while somebody looks at them. */
export type PackedEntries = {
  readonly add: (entries: readonly RevocationEntry[]) => void
  readonly entries: RevocationEntries
}

export const packedEntries = (): PackedEntries => {
  const parts: RevocationEntries[] = []
  return {
    add: (entries) => {
      const bytes = encodeFeedBinary({ feedId: 'part', cursor: '0', entries })
      parts.push(decodeFeedBinary(bytes).entries)
    },
    entries: {
      get length() {
        return parts.reduce((sum, part) => sum + part.length, 0)
      },
      *[Symbol.iterator]() {
        for (const part of parts) yield* part
      },
    },
  }
}
