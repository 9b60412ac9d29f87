import { expect, test } from 'vitest'
import { parseStrictJson, StrictJsonError } from '../../src/lib/strict-json.ts'

const parse = (text: string): unknown => parseStrictJson(Buffer.from(text))

const refuses = (text: string, message: string): void => {
  expect(() => parse(text), text).toThrow(new StrictJsonError(message))
}

test('what JSON.parse makes of a well-behaved text is the answer', () => {
  const texts = [
    '{}',
    '[]',
    'null',
    '"text"',
    '-1.5e3',
    '{"a":{"a":[{"a":"b: c"},{"a":1}]},"b":"\\"a\\":"}',
    '{"a":"{\\"x\\":1,\\"x\\":2}"}',
    '{"\\ud83d\\ude00":"😀"}',
    '{"constructor":"a name like any other"}',
    ' {\n"a" :\t1 , "b" : [ ] } ',
  ]
  for (const text of texts) expect(parse(text), text).toEqual(JSON.parse(text))
})

test('R120: a member named twice is refused at any depth, however the name is spelled', () => {
  const twice = 'names a member twice'
  refuses('{"a":1,"a":1}', twice)
  refuses('{"a":1,"b":2,"\\u0061":3}', twice)
  refuses('[{"x":{"a":1 , "a" : 2}}]', twice)
  refuses('{"":1,"":2}', twice)
  refuses('{"1":0,"1":0}', twice)
})

test('R119: names that reach a prototype are refused, escaped ones too, and Object.prototype stays as it was', () => {
  const notAllowed = 'has a member name that is not allowed'
  refuses('{"__proto__":{"admin":true}}', notAllowed)
  refuses('[{"\\u005f_proto__":1}]', notAllowed)
  refuses('{"constructor":{"prototype":{"admin":true}}}', notAllowed)
  expect(Reflect.get({}, 'admin')).toBeUndefined()
})

test('R8: a lone surrogate is refused in values and names', () => {
  const lone = 'holds a lone surrogate'
  refuses('"\\ud800"', lone)
  refuses('{"a":["\\udc00 b"]}', lone)
  refuses('{"\\ud83d":1}', lone)
  refuses('"\\ude00\\ud83d"', lone)
})

test('R121: U+0000 is refused in values and names', () => {
  refuses('{"a":"b\\u0000"}', 'holds U+0000')
  refuses('{"\\u0000":1}', 'holds U+0000')
})

test('bytes that are not UTF-8, a byte order mark and broken JSON are refused without quoting them', () => {
  expect(() => parseStrictJson(Buffer.from([0x22, 0xff, 0x22]))).toThrow('is not valid UTF-8')
  // An encoded surrogate (CESU-8) is no UTF-8 either.
  expect(() => parseStrictJson(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]))).toThrow(
    'is not valid UTF-8',
  )
  for (const text of ['\uFEFF{}', '{"password":"hunter2"', "{'a':1}", '{"a":1,}', 'NaN', '']) {
    refuses(text, 'is not valid JSON')
  }
})

test('numbers that do not fit are refused rather than read as infinite', () => {
  refuses('{"exp":1e309}', 'holds a number that is out of range')
})

test('sixteen levels are read and seventeen are refused, also in a text that is all brackets', () => {
  expect(parse('['.repeat(16) + ']'.repeat(16))).toBeDefined()
  refuses('['.repeat(17) + ']'.repeat(17), 'is nested too deeply')
  refuses('{"a":'.repeat(17) + 1 + '}'.repeat(17), 'is nested too deeply')
  refuses('['.repeat(4096) + ']'.repeat(4096), 'is nested too deeply')
})
