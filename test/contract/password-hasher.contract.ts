import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { PasswordHasher } from '../../src/accounts/argon2-password-hasher.ts'
import { AppError } from '../../src/lib/app-error.ts'

/** Options small enough that a hash takes a millisecond; the cost itself is tested once, elsewhere. */
export type HasherOptions = {
  readonly peppers?: readonly string[]
  readonly parameters?: { memoryKib: number; passes: number; lanes: number }
}

export const cheapParameters = { memoryKib: 256, passes: 1, lanes: 1 }

const password = 'correct horse battery staple'
const noMatch = { matches: false, needsRehash: false }

const codeOf = async (work: Promise<unknown>): Promise<unknown> => {
  const error: unknown = await work.then(
    () => undefined,
    (cause: unknown) => cause,
  )
  return error instanceof AppError ? error.code : error
}

/** What every password hasher must do. `make` builds a fresh one; defaults: cheap parameters, no pepper. */
export const passwordHasherContract = (
  name: string,
  make: (options?: HasherOptions) => Promise<PasswordHasher>,
): void => {
  describe(`${name} as a password hasher`, () => {
    test('R9: a hash is an argon2id PHC string with a salt of 16 bytes, never the same twice', async () => {
      const hasher = await make()
      const [first, second] = [await hasher.hash(password), await hasher.hash(password)]
      const parts = first.phc.split('$')
      expect(parts.slice(0, 4)).toEqual(['', 'argon2id', 'v=19', 'm=256,t=1,p=1'])
      expect(Buffer.from(parts[4] ?? '', 'base64')).toHaveLength(16)
      expect(Buffer.from(parts[5] ?? '', 'base64')).toHaveLength(32)
      expect(second.phc.split('$')[4]).not.toBe(parts[4])
    })

    test('the right password matches and a wrong one does not', async () => {
      const hasher = await make()
      const stored = await hasher.hash(password)
      expect(await hasher.verify(password, stored)).toEqual({ matches: true, needsRehash: false })
      expect(await hasher.verify(`${password}x`, stored)).toEqual(noMatch)
      expect(await hasher.verify('', stored)).toEqual(noMatch)
    })

    test('no password matches an account that does not exist', async () => {
      const hasher = await make()
      expect(await hasher.verify(password, undefined)).toEqual(noMatch)
    })

    test('R4: two passwords of 256 code points that differ only in the last one are different', async () => {
      const hasher = await make()
      const long = '🔑'.repeat(255)
      const stored = await hasher.hash(`${long}a`)
      expect(await hasher.verify(`${long}a`, stored)).toMatchObject({ matches: true })
      expect(await hasher.verify(`${long}b`, stored)).toEqual(noMatch)
    })

    test('R4: 257 code points are refused, to set and to log in', async () => {
      const hasher = await make()
      const stored = await hasher.hash(password)
      const tooLong = '🔑'.repeat(257)
      expect(await codeOf(hasher.hash(tooLong))).toBe('invalid_password')
      expect(await codeOf(hasher.verify(tooLong, stored))).toBe('invalid_password')
    })

    test('R7: NFD and NFC of one text are one password; NFKC equivalents, spaces and case are not', async () => {
      const hasher = await make()
      const text = 'café ﬁnal Straße'
      const stored = await hasher.hash(text.normalize('NFD'))
      expect(await hasher.verify(text.normalize('NFC'), stored)).toMatchObject({ matches: true })
      for (const other of [text.replace('ﬁ', 'fi'), ` ${text}`, `${text} `, text.toLowerCase()]) {
        expect(await hasher.verify(other, stored), other).toEqual(noMatch)
      }
    })

    test('R8: a lone surrogate is refused, whether or not the account exists', async () => {
      const hasher = await make()
      const stored = await hasher.hash(`${password}\ufffd`)
      for (const text of [`${password}\ud800`, `\udc00${password}`]) {
        expect(await codeOf(hasher.hash(text))).toBe('invalid_password')
        expect(await codeOf(hasher.verify(text, stored))).toBe('invalid_password')
        expect(await codeOf(hasher.verify(text, undefined))).toBe('invalid_password')
      }
    })

    test('a NUL inside a password does not end it', async () => {
      const hasher = await make()
      const stored = await hasher.hash('before\0after')
      expect(await hasher.verify('before\0other', stored)).toEqual(noMatch)
    })

    test('R10: a hash of other parameters still matches and asks to be made anew', async () => {
      const stored = await (await make()).hash(password)
      const stronger = await make({ parameters: { memoryKib: 512, passes: 2, lanes: 1 } })
      expect(await stronger.verify(password, stored)).toEqual({ matches: true, needsRehash: true })
      expect(await stronger.verify('wrong', stored)).toEqual(noMatch)
    })

    test('R10: a pepper that is added, or replaced by a newer one, asks for a new hash', async () => {
      const [older, newer] = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')]
      const plain = await (await make()).hash(password)
      const peppered = await (await make({ peppers: [older] })).hash(password)
      const hasher = await make({ peppers: [newer, older] })
      const current = await hasher.hash(password)
      expect(plain.pepperId).toBeUndefined()
      expect(peppered.pepperId).toMatch(/^[A-Za-z0-9_-]{8}$/)
      expect(current.pepperId).not.toBe(peppered.pepperId)
      for (const old of [plain, peppered]) {
        expect(await hasher.verify(password, old)).toEqual({ matches: true, needsRehash: true })
      }
      expect(await hasher.verify(password, current)).toEqual({ matches: true, needsRehash: false })
    })

    test('the pepper goes into the hash: without it the right password does not match', async () => {
      const stored = await (await make({ peppers: ['the pepper of this test'] })).hash(password)
      const withoutPepper = { phc: stored.phc, pepperId: undefined }
      expect(await (await make()).verify(password, withoutPepper)).toEqual(noMatch)
    })

    test('a pepper that is gone is an error that names it, not a wrong password', async () => {
      const stored = await (await make({ peppers: ['the pepper that is lost'] })).hash(password)
      const hasher = await make({ peppers: ['another one'] })
      const error = await codeOf(hasher.verify(password, stored))
      expect(error).toBeInstanceOf(Error)
      expect(String(error)).toContain(stored.pepperId)
      expect(String(error)).not.toContain('lost')
    })

    test('a stored hash that is malformed or of absurd cost is refused without computing it', async () => {
      const hasher = await make()
      const { phc } = await hasher.hash(password)
      const refused = [
        phc.replace('m=256', 'm=1048576'),
        phc.replace('t=1', 't=4000000000'),
        phc.replace('p=1', 'p=200'),
        phc.replace('argon2id', 'argon2i'),
        phc.replace('v=19', 'v=16'),
        phc.replace('p=1', 'p=1,data=AAAA'),
        `${phc}$`,
        '',
      ]
      for (const text of refused) {
        const error = await codeOf(hasher.verify(password, { phc: text, pepperId: undefined }))
        expect(error, text).toBeInstanceOf(Error)
      }
    })
  })
}
