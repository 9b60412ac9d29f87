import { expect, test } from 'vitest'
import { formatPhc, parsePhc } from '../../src/accounts/argon2-password-hasher.ts'

const cost = { memoryKib: 19_456, passes: 2, lanes: 1 }

test('what is written is read back, in the order of parameters that the reference implementation reads', () => {
  const phc = formatPhc(cost, Buffer.alloc(16, 0xff), Buffer.alloc(32, 0xfb))
  expect(phc).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[^=$]{22}\$[^=$]{43}$/)
  expect(parsePhc(phc)).toEqual({ ...cost, saltBytes: 16, tagBytes: 32 })
})

test('256 MiB, 16 passes and 16 lanes are the most that is computed', () => {
  const written = (memoryKib: number, passes: number, lanes: number) => () =>
    parsePhc(formatPhc({ memoryKib, passes, lanes }, Buffer.alloc(16), Buffer.alloc(32)))
  expect(written(262_144, 16, 16)).not.toThrow()
  expect(written(262_145, 1, 1)).toThrow(RangeError)
  expect(written(1024, 17, 1)).toThrow(RangeError)
  expect(written(1024, 1, 17)).toThrow(RangeError)
  expect(written(15, 1, 2)).toThrow(RangeError)
})

test('an unreadable hash is not repeated in the error', () => {
  expect(() => parsePhc('$2b$12$thisIsTheSaltAndTheTag')).toThrow(/^(?!.*thisIs)/)
})
