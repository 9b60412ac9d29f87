import { expect, test } from 'vitest'
import { readCookies } from '../../src/wire.ts'

const read = (header: string | undefined) => Object.fromEntries(readCookies(header))

test.each<[string | undefined, Record<string, readonly string[]>]>([
  [undefined, {}],
  ['', {}],
  [';', {}],
  [' ; \t;;', {}],
  ['a', {}],
  ['a;b=1', { b: ['1'] }],
  ['a=', { a: [''] }],
  ['=a', { '': ['a'] }],
  ['a=1; b=2', { a: ['1'], b: ['2'] }],
  ['a=1;b=2;', { a: ['1'], b: ['2'] }],
  [' \ta=1\t ;\t \tb=2 \t', { a: ['1'], b: ['2'] }],
  // Blanks inside of a pair are part of it, as for browsers.
  ['a =1; b= 2; c=3 3', { 'a ': ['1'], b: [' 2'], c: ['3 3'] }],
  ['a=b=c', { a: ['b=c'] }],
  ['a="1;2"', { a: ['"1'] }],
  ['a=%20', { a: ['%20'] }],
  ['a=1; A=2; a=3; a=', { a: ['1', '3', ''], A: ['2'] }],
  ['\u00a0a=1; \u2003b=2;\vc=3', { '\u00a0a': ['1'], '\u2003b': ['2'], '\vc': ['3'] }],
])('%j holds %j', (header, cookies) => {
  expect(read(header)).toEqual(cookies)
})

test('names that objects inherit are names like any other', () => {
  expect([...readCookies('__proto__=1; constructor=2')]).toEqual([
    ['__proto__', ['1']],
    ['constructor', ['2']],
  ])
})
