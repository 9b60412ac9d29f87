import { createCipheriv, randomBytes } from 'node:crypto'
import { CompactEncrypt } from 'jose'
import { describe, expect, test } from 'vitest'
import { VerifierError } from '../../src/index.ts'
import { createOpener } from '../../src/tokens/open-sealed.ts'
import { newSealedKey, seal, sealedHeaderOf } from '../support/sealed.ts'

const key = await newSealedKey()
const older = await newSealedKey()
const open = createOpener([key.bytes, older.bytes])
const token = 'aaaa.bbbb.cccc'

/** The hidden reason; fails when the cookie is opened, or refused in another way. */
const refusalOf = async (sealed: string, opener = open): Promise<string> => {
  const error = await opener(sealed).then(
    (opened) => `opened: ${opened}`,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(VerifierError)
  expect(error).toMatchObject({ code: 'token_invalid', status: 401 })
  return error instanceof VerifierError && error.cause instanceof Error ? error.cause.message : ''
}

const replacePart = (sealed: string, place: number, part: string): string =>
  sealed.split('.').with(place, part).join('.')

const partOf = (sealed: string, place: number): string => sealed.split('.')[place] ?? ''

const flipFirst = (part: string): string => `${part.startsWith('A') ? 'B' : 'A'}${part.slice(1)}`

/** By Node's own cipher: what no library would write. The header is sealed along, so that only its content is wrong. */
const sealByHand = (header: string, plaintext = token): string => {
  const protectedHeader = Buffer.from(header).toString('base64url')
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce).setAAD(
    Buffer.from(protectedHeader),
  )
  const content = Buffer.concat([cipher.update(plaintext), cipher.final()])
  const parts = [protectedHeader, '', nonce, content, cipher.getAuthTag()]
  return parts.map((part) => (Buffer.isBuffer(part) ? part.toString('base64url') : part)).join('.')
}

describe('a sealed token', () => {
  test('opens with each of the keys, and with none but the one that it names', async () => {
    expect(await open(await seal(token, key))).toBe(token)
    expect(await open(await seal(token, older))).toBe(token)
    expect(await open(sealByHand(JSON.stringify(sealedHeaderOf(key))))).toBe(token)
    const stranger = await newSealedKey()
    expect(await refusalOf(await seal(token, stranger))).toBe('sealed with another key')
    // A key that it does not name, though that one would open it.
    expect(await refusalOf(await seal(token, key, { kid: older.kid }))).toMatch(/decryption/)
    expect(await refusalOf(await seal(token, stranger, { kid: key.kid }))).toMatch(/decryption/)
  })

  test('is refused when any of its parts was altered', async () => {
    const sealed = await seal(token, key)
    for (const place of [2, 3, 4]) {
      const altered = replacePart(sealed, place, flipFirst(partOf(sealed, place)))
      expect(await refusalOf(altered), `part ${place}`).toMatch(/decryption/)
    }
    const other = await seal('dddd.eeee.ffff', key)
    expect(await refusalOf(replacePart(sealed, 3, partOf(other, 3)))).toMatch(/decryption/)
    expect(await refusalOf(replacePart(sealed, 4, partOf(other, 4)))).toMatch(/decryption/)
    // The header is sealed along: one that says the same in another order is another text.
    const { kid, ...rest } = sealedHeaderOf(key)
    const reordered = Buffer.from(JSON.stringify({ kid, ...rest })).toString('base64url')
    expect(await refusalOf(replacePart(sealed, 0, reordered))).toMatch(/decryption/)
  })

  test('has one spelling, five parts and at most 4096 characters', async () => {
    const sealed = await seal(token, key)
    const content = partOf(sealed, 3)
    const wrong: Record<string, string> = {
      nothing: '',
      'an access token': token,
      'four parts': sealed.slice(0, sealed.lastIndexOf('.')),
      'six parts': `${sealed}.AAAA`,
      'an encrypted key': replacePart(sealed, 1, 'AAAA'),
      'no content': replacePart(sealed, 3, ''),
      padding: replacePart(sealed, 3, `${content}=`),
      'a space': `${sealed} `,
      'loose bits at the end': replacePart(sealed, 4, `${partOf(sealed, 4).slice(0, -1)}_`),
      'the other alphabet': replacePart(sealed, 3, `+${content.slice(1)}`),
      'a short tag': replacePart(sealed, 4, partOf(sealed, 4).slice(0, 16)),
      'a long nonce': replacePart(sealed, 2, `${partOf(sealed, 2)}AAAA`),
      'quotes around it': `"${sealed}"`,
    }
    for (const [what, text] of Object.entries(wrong)) {
      expect(await refusalOf(text), what).toMatch(/parts|canonical|encrypted key/)
    }
    const longest = await seal('t'.repeat(2900), key)
    expect(longest.length).toBeLessThanOrEqual(4096)
    expect(await open(longest)).toHaveLength(2900)
    expect(await refusalOf(await seal('t'.repeat(3000), key))).toBe('too long')
    await expect(Reflect.apply(open, undefined, [undefined])).rejects.toMatchObject({
      code: 'token_invalid',
    })
  })

  test('says how it was made in one way, and nothing more', async () => {
    const good = sealedHeaderOf(key)
    const headers: Record<string, unknown> = {
      'compressed content': { ...good, zip: 'DEF' },
      'another member': { ...good, crit: ['exp'] },
      'a key of its own': { ...good, jwk: { kty: 'oct', k: key.text } },
      'a type': { ...good, typ: 'JWT' },
      'no content type': { ...good, cty: undefined },
      'another content type': { ...good, cty: 'text' },
      'no kid': { ...good, kid: undefined },
      'a kid that is no thumbprint': { ...good, kid: '../key' },
      'another key management': { ...good, alg: 'A256KW' },
      'a password': { ...good, alg: 'PBES2-HS256+A128KW' },
      'weaker encryption': { ...good, enc: 'A128GCM' },
      'another encryption of that length': { ...good, enc: 'A128CBC-HS256' },
      'no object': 'dir',
    }
    for (const [what, header] of Object.entries(headers)) {
      expect(await refusalOf(sealByHand(JSON.stringify(header))), what).toMatch(
        /header|encryption|kid|something else/,
      )
    }
    const spaced = JSON.stringify(good).replaceAll(',', ', ')
    expect(await refusalOf(sealByHand(spaced))).toMatch(/another spelling/)
    const twice = JSON.stringify(good).replace('{', '{"kid":"x",')
    expect(await refusalOf(sealByHand(twice))).toMatch(/another spelling/)
  })

  test('is refused when the right key was used with another algorithm', async () => {
    const wrapped = await new CompactEncrypt(Buffer.from(token))
      .setProtectedHeader({ alg: 'A256KW', enc: 'A256GCM', kid: key.kid, cty: 'JWT' })
      .encrypt(key.bytes)
    expect(await refusalOf(wrapped)).toBe('an encrypted key where none belongs')
  })
})
