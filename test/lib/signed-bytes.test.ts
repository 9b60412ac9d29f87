import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { systemRandom } from '../../src/lib/machine.ts'
import {
  bytesField,
  flagField,
  idField,
  isSameBytes,
  keyedHash,
  type MacKey,
  signedBytes,
  tagField,
  textSigner,
  uint32Field,
  uint64Field,
} from '../../src/lib/signed-bytes.ts'

const newKey = (id = 1): MacKey => ({ id, key: systemRandom(32) })

const layout = {
  version: 9,
  prefix: 'p',
  fields: {
    id: idField,
    bytes: bytesField(3),
    flag: flagField,
    count: uint32Field,
    bigCount: uint64Field,
    isName: tagField('t'),
  },
}

const values = {
  id: 'ABEiM0RVZneImaq7zN3u_w',
  bytes: Buffer.from([1, 2, 3]),
  flag: true,
  count: 2 ** 32 - 1,
  bigCount: Number.MAX_SAFE_INTEGER,
  isName: 'ada',
}

const wide = { ...layout, endsInText: true }

/** Every text that differs in one bit of its bytes, is cut, is longer, or is another spelling of the same bytes. */
const alterationsOf = (signed: string): string[] => {
  const bytes = Buffer.from(signed, 'base64url')
  const flipped = Array.from({ length: bytes.length * 8 }, (_, bit) => {
    const altered = Buffer.from(bytes)
    altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    return altered.toString('base64url')
  })
  const cut = Array.from({ length: signed.length }, (_, length) => signed.slice(0, length))
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const spelled = [...alphabet].map((last) => signed.slice(0, -1) + last)
  const longer = ['A', 'AAAA', '=', ' '].flatMap((more) => [signed + more, more + signed])
  return [...flipped, ...cut, ...longer, ...spelled.filter((text) => text !== signed)]
}

describe('signed bytes', () => {
  test('hold their fields in the order of the layout, before the MAC, and the text behind it', () => {
    const key = newKey(7)
    for (const text of ['', 'über']) {
      const codec = signedBytes([key], text === '' ? layout : wide)
      const signed = codec.write(values, text)
      const bytes = Buffer.from(signed, 'base64url')
      expect([...bytes.subarray(0, 2)]).toEqual([9, 7])
      expect(bytes.toString('base64url', 2, 18)).toBe(values.id)
      expect([...bytes.subarray(18, 22)]).toEqual([1, 2, 3, 1])
      expect(bytes.readUInt32BE(22)).toBe(values.count)
      expect(bytes.readBigUInt64BE(26)).toBe(BigInt(values.bigCount))
      expect(bytes.toString('utf8', 50 + 32)).toBe(text)
      const { isName, ...others } = codec.read(signed) ?? {}
      const { isName: name, ...written } = values
      expect(others).toEqual({ ...written, text })
      expect([isName?.(name), isName?.('eve')]).toEqual([true, false])
    }
  })

  test('are refused when they are altered in any way, and nothing throws', () => {
    const key = newKey()
    for (const [form, text] of [
      [layout, ''],
      [wide, 'a'],
    ] as const) {
      const codec = signedBytes([key], form)
      const signed = codec.write(values, text)
      expect(codec.read(signed)).toBeDefined()
      const garbage = ['', '%', '\ud800'.repeat(110), 'A'.repeat(1_000_000), '__proto__']
      for (const other of [...alterationsOf(signed), ...garbage]) {
        expect(codec.read(other), other.slice(0, 200)).toBeUndefined()
      }
    }
  })

  test('of another version, key, prefix or layout are refused', () => {
    const key = newKey()
    const signed = signedBytes([key], layout).write(values)
    for (const [keys, other] of [
      [[newKey()], layout],
      [[{ ...key, id: 2 }], layout],
      [[key], { ...layout, version: 8 }],
      [[key], { ...layout, prefix: 'q' }],
      [[key], wide],
    ] as const) {
      expect(signedBytes(keys, other).read(signed)).toBeUndefined()
    }
  })

  test('are made with the first key, and read with each, also of two that share an id', () => {
    const [newer, older, twin] = [newKey(1), newKey(2), newKey(1)]
    const ofAll = signedBytes([newer, older, twin], layout)
    for (const key of [newer, older, twin]) {
      const read = ofAll.read(signedBytes([key], layout).write(values))
      // The tag was made with the key that made the MAC.
      expect(read?.isName('ada')).toBe(true)
    }
    expect(signedBytes([newer], layout).read(ofAll.write(values))).toBeDefined()
  })
})

test('a signature stands for one text, under the keys and the prefix it was made with', () => {
  const [newer, older] = [newKey(), newKey()]
  const signature = textSigner([older], 'a').sign('text')
  expect(signature).toMatch(/^[\w-]{43}$/)
  const { isSignature } = textSigner([newer, older], 'a')
  expect(isSignature(signature, 'text')).toBe(true)
  expect(isSignature(signature, 'texts')).toBe(false)
  for (const other of ['', 'x', ...alterationsOf(signature)]) {
    expect(isSignature(other, 'text'), other).toBe(false)
  }
  expect(textSigner([newer], 'a').isSignature(signature, 'text')).toBe(false)
  expect(textSigner([older], 'b').isSignature(signature, 'text')).toBe(false)
})

test('a keyed hash is as long as asked for, the same for the same text, and another with another key', () => {
  const { key } = newKey()
  const long = keyedHash(key, 32)('text')
  expect(Buffer.from(long, 'base64url')).toHaveLength(32)
  expect(long.startsWith(keyedHash(key, 16)('text').slice(0, 20))).toBe(true)
  expect(keyedHash(key, 32)('text')).toBe(long)
  expect(keyedHash(key, 32)('texts')).not.toBe(long)
  expect(keyedHash(newKey().key, 32)('text')).not.toBe(long)
})

test('without a key, or with a short one, nothing is signed or hashed', () => {
  const short = { id: 1, key: Buffer.alloc(31) }
  for (const keys of [[], [short], [newKey(), short]]) {
    expect(() => signedBytes(keys, layout)).toThrow(TypeError)
    expect(() => textSigner(keys)).toThrow(TypeError)
  }
  expect(() => keyedHash(short.key, 16)).toThrow(TypeError)
})

test('bytes of different lengths are not the same, and comparing them does not throw', () => {
  expect(isSameBytes(Buffer.from('a'), Buffer.from('a'))).toBe(true)
  expect(isSameBytes(Buffer.from('a'), Buffer.from('b'))).toBe(false)
  expect(isSameBytes(Buffer.from('a'), Buffer.from('aa'))).toBe(false)
})

test('no other file of the service derives keys, computes HMACs or compares in constant time', async () => {
  const source = fileURLToPath(new URL('../../src', import.meta.url))
  const files = (await readdir(source, { recursive: true })).filter((path) => path.endsWith('.ts'))
  const texts = await Promise.all(files.map((path) => readFile(`${source}/${path}`, 'utf8')))
  const those = /\b(createHmac|createSecretKey|hkdf(Sync)?|timingSafeEqual)\b/
  const found = files.filter((_, index) => those.test(texts[index] ?? ''))
  expect(found).toEqual(['lib/signed-bytes.ts'])
})
