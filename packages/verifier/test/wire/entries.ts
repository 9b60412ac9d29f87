import type { Seeded } from '../../../../test/support/run/seeded.ts'
import type { RevocationEntry } from '../../src/wire.ts'
import { revocationKinds } from '../../src/wire.ts'

/** An id of 16 bytes that are all the same. */
export const idOf = (byte: number): string => Buffer.alloc(16, byte).toString('base64url')

export const kidOf = (byte: number): string => Buffer.alloc(32, byte).toString('base64url')

const randomBytes = (random: Seeded, count: number): Buffer =>
  Buffer.from(Array.from({ length: count }, () => random.next(256)))

export const randomId = (random: Seeded): string => randomBytes(random, 16).toString('base64url')

const largestEpochs = [0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]

/** Any entry there can be; the limits of its numbers come up often. */
export const randomEntry = (random: Seeded): RevocationEntry => {
  const kind = revocationKinds[random.next(revocationKinds.length)] ?? 'jti'
  const notAfter = [1, 0xffff_ffff, 1_767_225_600 + random.next(1000)][random.next(3)] ?? 1
  const epoch = largestEpochs[random.next(largestEpochs.length)] ?? 0
  switch (kind) {
    case 'everyone':
      return { kind, key: '', minEpoch: epoch, notAfter }
    case 'kid':
      return {
        kind,
        key: randomBytes(random, 32).toString('base64url'),
        minEpoch: undefined,
        notAfter,
      }
    case 'sub':
    case 'claims':
      return { kind, key: randomId(random), minEpoch: epoch, notAfter }
    default:
      return { kind, key: randomId(random), minEpoch: undefined, notAfter }
  }
}

/** An entry with the members that its kind needs, unless they are given. */
export const entry = (
  kind: RevocationEntry['kind'],
  key: string,
  { minEpoch, notAfter = 1_767_226_600 }: { minEpoch?: number; notAfter?: number } = {},
): RevocationEntry => ({ kind, key, minEpoch, notAfter })
